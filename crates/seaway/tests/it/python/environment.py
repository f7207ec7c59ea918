"""Says in JSON what Dask knows of its workers, and what stands in the environment of each and of the scheduler."""

import json
import os
import sys

from distributed import Client


def environment():
    return dict(os.environ)


def compute():
    """An array inside of a task, by whatever scheduler the settings name."""
    import dask.array as da

    return int(da.ones(1000, chunks=100).sum().compute())


with Client(sys.argv[1]) as client:
    workers = {}
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        on = {"workers": [address], "pure": False}
        workers[worker["name"]] = {
            "address": address,
            "threads": worker["nthreads"],
            "memory": worker["memory_limit"],
            "tags": worker["resources"],
            "directory": worker["local_directory"],
            "dashboard": worker["services"]["dashboard"],
            "environment": client.submit(environment, **on).result(timeout=60),
            "computed": client.submit(compute, **on).result(timeout=60),
        }
    print(json.dumps({"workers": workers, "scheduler": client.run_on_scheduler(environment)}))
