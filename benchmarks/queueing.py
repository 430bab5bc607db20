"""What an engine's acts cost when so many queues have been used:
`python -m benchmarks.queueing QUEUES SERVER_PID`.

Each queue has held a job, and is empty again; then five of them are worked with, as a pool of all
queues does. Printed is one line of JSON: microseconds of CPU (this process and the server's) for
each act, as the mean of all.
"""

import json
import sys
from collections.abc import Callable, Sequence

import poolq
from benchmarks.peers.poolq import Noop, prepare
from benchmarks.stepping import ME, Spent, rest
from benchmarks.work import PAYLOAD
from poolq.engines.base import Claim, Engine, Settlement
from poolq.jobs.outcomes import ACK
from poolq.jobs.producer import engine as chosen

USED, CHUNK = 5, 2000
#: How often counters are added up before a screen asks, which else keepers do each second.
FOLDS = 5
#: How often each act is measured; seconds of one wait.
JOBS, BATCHES, EMPTY, DISPATCHES, LOOKS, WAITS, WAIT = 600, 20, 200, 600, 10, 20, 0.1
BATCH = 100


def names(many: int) -> list[str]:
    return [f"tenant-{number}" for number in range(many)]


def fill(queues: Sequence[str]) -> None:
    """A job in each."""
    for start in range(0, len(queues), CHUNK):
        some = queues[start : start + CHUNK]
        poolq.dispatch_many(Noop, [(PAYLOAD, {"queue": queue}) for queue in some])


class Worker:
    """One that serves all queues."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._request = 0
        self.done: list[Settlement] = []
        engine.register(ME)

    def step(self, want: int) -> Sequence[Claim]:
        """Settle what was claimed, and claim."""
        self._request += 1
        claims = self._engine.step(ME.worker, self._request, self.done, want, None).claims
        self.done = [Settlement(claim, ACK) for claim in claims]
        return claims

    def drain(self) -> int:
        """How many jobs there were."""
        found = 0
        while claims := self.step(BATCH):
            found += len(claims)
        return found


def main(many: int, server: int) -> dict[str, float]:
    """The cost of each act."""
    prepare()
    engine, queues = chosen(), names(many)
    worker = Worker(engine)
    fill(queues)
    assert worker.drain() == many
    few = queues[:: max(1, many // USED)][:USED]

    clock = Spent(server)

    def spent(acts: int, act: Callable[[], object]) -> float:
        """Microseconds for one of so many."""
        before = clock.now()
        act()
        return (clock.now() - before) / 1000 / acts

    def again(times: int, act: Callable[[], object]) -> float:
        return spent(times, lambda: [act() for _ in range(times)])

    rest(lambda: Spent(server).serving())
    fill(few * (JOBS // USED))
    found = {"a step of one job": again(JOBS, lambda: worker.step(1))}
    worker.drain()
    fill(few * (BATCHES * BATCH // USED))
    found["a job of a batch"] = spent(BATCHES * BATCH, worker.drain)
    found["a step that finds nothing"] = again(EMPTY, lambda: worker.step(BATCH))
    found["a dispatch"] = spent(DISPATCHES, lambda: [fill([few[0]]) for _ in range(DISPATCHES)])
    worker.drain()
    found["a wait of 0.1 s"] = again(WAITS, lambda: engine.wait(None, WAIT))
    for _ in range(FOLDS):
        engine.totals()
    found["what a screen asks"] = again(
        LOOKS, lambda: (engine.counts(), engine.totals(), engine.limits())
    )
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*map(int, sys.argv[1:]))) + "\n")
