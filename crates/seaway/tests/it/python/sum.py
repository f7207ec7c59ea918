"""Sums an array of 200 million elements on a cluster, as a user's program would."""

import sys

import dask.array as da
from distributed import Client

with Client(sys.argv[1]) as client:
    x = da.ones(200_000_000, chunks=10_000_000)
    print(x.sum().compute(), len(client.scheduler_info()["workers"]))
