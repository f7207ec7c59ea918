"""Two HTTP routes that Seaway adds to a Dask scheduler.

Dask's own `/api/v1/retire_workers` removes a worker although a task is running on it (the task is computed
again elsewhere), and its `/json/identity.json` tells the load as of the last heartbeat. These routes answer from
the scheduler's own state, and separate "take no more work, hand over your data" from "go".
"""

import json

from distributed.core import Status
from distributed.http.utils import RequestHandler


def _load(ws):
    sole = 0
    for ts in ws.has_what:
        if ts.who_has is not None and len(ts.who_has) == 1 and not ts.actor:
            sole += 1
    return {
        "name": str(ws.name),
        "status": ws.status.name,
        "work": len(ws.processing),
        # An actor lives on its worker alone and cannot be moved.
        "sole": sole + len(ws.actors),
        "bytes": ws.nbytes,
    }


class Load(RequestHandler):
    """`GET`: the load of every worker, by address."""

    def get(self):
        self.set_header("Content-Type", "application/json")
        workers = {address: _load(ws) for address, ws in self.server.workers.items()}
        self.write(json.dumps({"workers": workers}))


class Release(RequestHandler):
    """`POST {"workers": [address]}`: these workers start no more tasks and hand their data to others.

    They stay in the cluster and finish what they run. Tasks that wait on them go to other workers. May be
    repeated; answers with their load.
    """

    async def post(self):
        self.set_header("Content-Type", "application/json")
        scheduler = self.server
        addresses = [a for a in json.loads(self.request.body)["workers"] if a in scheduler.workers]
        await scheduler.retire_workers(workers=addresses, close_workers=False, remove=False)
        for address in addresses:
            ws = scheduler.workers.get(address)
            if ws is None or ws.status != Status.closing_gracefully:
                continue
            self._give_back_waiting_tasks(scheduler, address)
        workers = {a: _load(scheduler.workers[a]) for a in addresses if a in scheduler.workers}
        self.write(json.dumps({"workers": workers}))

    @staticmethod
    def _give_back_waiting_tasks(scheduler, address):
        """Offers the tasks that wait on this worker to the others, as work stealing does."""
        stealing = scheduler.extensions.get("stealing")
        others = [ws for ws in scheduler.running if ws.address != address]
        if stealing is None or not others:
            return
        victim = scheduler.workers[address]
        for position, ts in enumerate(list(victim.processing)):
            allowed = scheduler.valid_workers(ts)
            thieves = others if allowed is None else [ws for ws in others if ws in allowed]
            if thieves and ts not in stealing.in_flight and ts not in victim.long_running:
                stealing.move_task_request(ts, victim, thieves[position % len(thieves)])


routes = [
    ("/seaway/load", Load, {}),
    ("/seaway/release", Release, {}),
]
