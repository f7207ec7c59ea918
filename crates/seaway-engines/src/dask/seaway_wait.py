"""Lets a Dask worker that starts together with its scheduler wait for it in small steps.

A worker that finds no scheduler tries again after a pause that doubles each time. Whoever starts both at once would
wait for seconds after the scheduler listens. This runs before the worker's first try.
"""

import asyncio

STEP = 0.03  # seconds


async def dask_setup(worker):
    host, _, port = worker.scheduler.address.rpartition("://")[2].rpartition(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            await asyncio.sleep(STEP)
        else:
            writer.close()
            return
