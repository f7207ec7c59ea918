"""Holds data on workers that exists nowhere else, and says at the end whether it is still there.

Arguments: the scheduler's address, and for each worker that is to hold data its name.
Says `held` when it is so. Told `look`, it says whether the data is whole.
"""

import sys

import numpy as np
from distributed import Client

address, *names = sys.argv[1:]

with Client(address) as client:
    workers = {w["name"]: a for a, w in client.scheduler_info(n_workers=-1)["workers"].items()}
    held = {}
    for number, name in enumerate(names):
        # Scattered data cannot be computed again.
        held[number] = client.scatter(np.full(100_000, number), workers=[workers[name]], hash=False, broadcast=False)
    print("held")
    for line in sys.stdin:
        if line.strip() == "look":
            try:
                whole = all((client.gather(future) == number).all() for number, future in held.items())
            except Exception as error:
                whole = f"lost: {type(error).__name__}"
            print(whole)
        else:
            break
