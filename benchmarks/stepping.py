"""What a job costs a worker and its engine when so many others wait:
`python -m benchmarks.stepping READY DELAYED JOBS SERVER_PID`.

A worker's claims and settlements, 100 in each exchange, over the engine's own contract, as in
`poolq run`, but with nothing run between them: that would only dilute the difference. It begins
once the server is at rest; where few are ready they are filled up again outside the measurement.
Printed is one line of JSON: microseconds a job, of time and of CPU (this process and the server's),
for each of several turns; of a dispatch, and of what `poolq queue ls` asks a new engine.
"""

import json
import sys
from collections.abc import Callable
from contextlib import closing
from multiprocessing import Process
from time import monotonic, perf_counter, process_time_ns, sleep

import poolq
from benchmarks import cost
from benchmarks.peers.poolq import Noop, prepare
from benchmarks.work import PAYLOAD, URL
from poolq.engines.base import Engine, Registration, Settlement
from poolq.jobs.outcomes import ACK
from poolq.jobs.producer import engine as chosen
from tests.contract.helpers import open_engine

WANT, TURN, CHUNK = 100, 1000, 20_000
TURNS, DISPATCHES = 7, 100
LOOK, QUIET, PATIENCE = 0.25, 0.01, 30.0  # seconds; what share of a core is nothing; seconds
ME = Registration("bench-worker", "bench-node", "bench", "bench", "boot", "pidns", 1, 1)


def fill(many: int, **options: str) -> None:
    for start in range(0, many, CHUNK):
        poolq.dispatch_many(Noop, [PAYLOAD] * min(CHUNK, many - start), **options)  # type: ignore[arg-type]


def beside(many: int, **options: str) -> None:
    """In a process of its own: no worker has made the jobs that it runs, and a million of them
    leave their traces in a process's memory."""
    child = Process(target=fill, args=(many,), kwargs=options)
    child.start()
    child.join()
    assert child.exitcode == 0, f"the process that fills ended with {child.exitcode}"


class Worker:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._request = 0
        self._done: list[Settlement] = []
        engine.register(ME)

    def turn(self) -> None:
        """Claim and settle TURN jobs."""
        for _ in range(TURN // WANT):
            self._request += 1
            step = self._engine.step(ME.worker, self._request, self._done, WANT, None)
            assert len(step.claims) == WANT, f"{len(step.claims)} claimed of {WANT}"
            self._done = [Settlement(claim, ACK) for claim in step.claims]


class Spent:
    """Nanoseconds of CPU of this process, and of those of the server that are there now."""

    def __init__(self, server: int) -> None:
        self._serving = cost.pids([server] if server else [])

    def serving(self) -> int:
        """The server's part."""
        return sum(cost.exact(self._serving).values())

    def now(self) -> int:
        return process_time_ns() + self.serving()


def rest(used: Callable[[], int]) -> None:
    """Wait until the server has nothing left to do for what it was filled with: MariaDB writes its
    pages for seconds, Redis has a child that writes a snapshot."""
    end = monotonic() + PATIENCE
    while monotonic() < end:
        before = used()
        sleep(LOOK)
        if 0 <= used() - before < QUIET * LOOK * 1e9:  # less than nothing: a child has ended
            return


def main(ready: int, delayed: int, jobs: int, server: int) -> dict[str, list[float]]:
    """The costs of each turn."""
    prepare()
    beside(delayed, delay="1 day")
    beside(ready)
    worker, seconds, used = Worker(chosen()), [], []

    rest(lambda: Spent(server).serving())
    spent = Spent(server)
    for _ in range(jobs // TURN):
        before, began = spent.now(), perf_counter()
        worker.turn()
        seconds.append((perf_counter() - began) * 1e6 / TURN)
        used.append((spent.now() - before) / 1000 / TURN)
        fill(TURN)
    return {"seconds": seconds, "cpu": used, "dispatch": dispatches(), "look": looks()}


def dispatches() -> list[float]:
    """Microseconds of a dispatch, in each of some turns."""
    found = []
    for _ in range(TURNS):
        began = perf_counter()
        for _ in range(DISPATCHES):
            Noop.dispatch(PAYLOAD)
        found.append((perf_counter() - began) * 1e6 / DISPATCHES)
    return found


def looks() -> list[float]:
    """Microseconds of each look at the queues by an engine that knows nothing yet."""
    found = []
    for _ in range(TURNS):
        with closing(open_engine(URL, "poolq")) as engine:
            engine.server()  # connects
            began = perf_counter()
            engine.counts()
            engine.totals()
            found.append((perf_counter() - began) * 1e6)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*map(int, sys.argv[1:]))) + "\n")
