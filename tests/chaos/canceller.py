"""Somebody who cancels running jobs all the time: at the engine, and by killing their workers."""

from __future__ import annotations

import random
from time import monotonic

from poolq.control import client
from poolq.engines.base import Engine
from poolq.errors import PoolqError, Refused
from poolq.jobs.message import decode
from tests.chaos.background import Background
from tests.chaos.fleet import Fleet
from tests.chaos.records import Cancelled, Done

#: Microseconds until the worker is killed.
GRACES = (0, 300_000, 3_600_000_000)
#: Those that are over about when a job ends that looks whether it is cancelled.
RACING = (0, 3_000, 10_000, 100_000)
HEEDS = "jobs:Heeds"
GIVEN_BACK = "kill-and-give-back"
#: The jobs of schedules, which are left alone: who ends unseen would leave its tick without a job.
PERIODIC = ("jobs:Ticks", "jobs:Dawdles", "jobs:Alone")


class Canceller(Background):
    """All is complete once it has ended. `asked`: the jobs that it wanted cancelled, whether or not
    it has had an answer; `cancelled`: those of which the engine has named the claim; `kills`:
    workers that were killed, and whose jobs were given back."""

    every = 0.3
    missing = (PoolqError, OSError, IndexError)  # somebody is away, or nobody runs

    def __init__(self, fleet: Fleet, url: str, namespace: str, seed: int) -> None:
        super().__init__(url, namespace)
        self.asked: set[str] = set()
        self.cancelled: list[Cancelled] = []
        self.kills: list[Done] = []
        self._fleet = fleet
        self._rand = random.Random(seed)

    def act(self, engine: Engine) -> None:
        which = self._rand.random()
        if which < 0.3:
            self._race(engine)
        elif which < 0.7:
            self._cancel(engine)
        else:
            self._kill(self._rand.randrange(2))

    def _cancel(self, engine: Engine) -> None:
        """Cancel a running job, which its worker may not have started yet."""
        running = engine.page("running").jobs
        id = self._rand.choice([one.id for one in running if decode(one.body).job not in PERIODIC])
        self.asked.add(id)
        if not engine.request_cancel([id], self._rand.choice(GRACES)):
            return
        at = monotonic()
        pids = {one.worker: (one.node, one.pid) for one in engine.registered()}
        for node in {node for node, _ in pids.values()}:
            for one in engine.cancel_requests(node):
                if one.id == id and one.worker in pids:
                    self.cancelled.append(Cancelled(id, at, pids[one.worker][1]))

    def _race(self, engine: Engine) -> None:
        """Cancel all running jobs that end when they are cancelled, each as its grace does."""
        for one in engine.page("running").jobs:
            if decode(one.body).job == HEEDS:
                self.asked.add(one.id)
                engine.request_cancel([one.id], self._rand.choice(RACING))

    def _kill(self, node: int) -> None:
        """End what a worker of the node runs."""
        pool = self._fleet.pools[node]
        name, where = f"node-{node}", {"RUNTIME_DIRECTORY": str(pool.runtime)}
        workers = client.request(name, where, "status", timeout=2)["workers"]
        worker = self._rand.choice(
            [one for one in workers if one["id"] and one["job"] not in PERIODIC]
        )
        back, begin = self._rand.random() < 0.5, monotonic()
        if not back:
            self.asked.add(worker["id"])
        kill = {"id": worker["id"], "worker": worker["pid"], "give_back": back}
        pids, pools = frozenset([worker["pid"]]), frozenset([pool.pid])
        try:
            killed = bool(client.request(name, where, "kill", kill, timeout=2))
        except Refused:
            killed = False
        except PoolqError:
            killed = True  # perhaps: it has not answered
        if killed and back:
            self.kills.append(Done(GIVEN_BACK, begin, monotonic() + 2, node, pids, pools))
