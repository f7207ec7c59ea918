"""Computes on a cluster with tasks that wait for an event of the cluster itself, so that the test decides how long the
computation runs: tasks in pods see no file of this machine.

Arguments: the scheduler's address and the number of tasks. Says `running` when the first task runs. Told a line, it lets
the tasks end, and says the sum of their results, how often tasks were begun, and how many there were.
"""

import sys
import time

from distributed import Client, Event, get_worker

address, number = sys.argv[1:]


def square(i):
    get_worker().log_event("begun", i)
    Event("open").wait()
    return i * i


with Client(address) as client:
    futures = client.map(square, range(int(number)))
    while not client.get_events("begun"):
        time.sleep(0.02)
    print("running")
    sys.stdin.readline()
    Event("open").set()
    total = sum(client.gather(futures))
    begun = [i for _, i in client.get_events("begun")]
    print(total, len(begun), len(set(begun)))
