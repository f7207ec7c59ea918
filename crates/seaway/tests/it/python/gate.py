"""Computes on a cluster with tasks that wait for a file, so that the test decides how long the computation runs.

Arguments: the scheduler's address, the file, the number of tasks, and optionally the worker that must run them.
Says `running` when the first task runs, and the sum of the results at the end.
"""

import os
import sys
import time

from distributed import Client

address, gate, number, *workers = sys.argv[1:]


def square(i, gate):
    with open(f"{gate}.running", "a"):
        pass
    while not os.path.exists(gate):
        time.sleep(0.02)
    return i * i


with Client(address) as client:
    futures = client.map(square, range(int(number)), gate=gate, workers=workers or None)
    while not os.path.exists(f"{gate}.running"):
        time.sleep(0.02)
    print("running")
    print(sum(client.gather(futures)))
