"""Has every worker of a cluster read a file, and says what each of them found: workers and contents, in order.

Arguments: the scheduler's address and the file.
"""

import sys

from distributed import Client

address, path = sys.argv[1:]


def read():
    with open(path) as file:
        return file.read().strip()


with Client(address) as client:
    names = {address: worker["name"] for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()}
    found = client.run(read)
    for name, text in sorted((names[address], text) for address, text in found.items()):
        print(name, text)
