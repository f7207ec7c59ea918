"""What Seaway is measured against: Dask's own `LocalCluster` with the same workers.

Prints one line of JSON when all workers are there, and closes the cluster when its standard input ends.
"""

import json
import sys
import time

began = time.perf_counter()

from distributed import Client, LocalCluster  # noqa: E402  (the import is part of what is measured)


def main():
    imported = time.perf_counter()
    with LocalCluster(n_workers=4, threads_per_worker=1, processes=True) as cluster, Client(cluster) as client:
        client.wait_for_workers(4)
        ready = time.perf_counter()
        print(json.dumps({"import": imported - began, "cluster": ready - imported}), flush=True)
        sys.stdin.read()


# Workers are spawned: they import this file too.
if __name__ == "__main__":
    main()
