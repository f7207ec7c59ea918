"""Asks for more memory than a worker may use. Says how that ends for the client.

Argument: the scheduler's address.
"""

import sys

from distributed import Client


def allocate():
    import numpy as np

    return float(np.ones(250_000_000).sum())


with Client(sys.argv[1]) as client:
    try:
        print(client.submit(allocate, retries=0).result())
    except Exception as error:
        print(type(error).__name__)
