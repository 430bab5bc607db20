"""A pool whose workers claim ahead is done about as soon as one that claims one by one: a model of
workers that handle their claims as loop.py and claim_buffer.py do, on a clock of its own.

A job has a number, its place in the queue, a class and a duration, and may ask for a start, which
is refused: then it parks without running. Claims that go back keep their place. Claims, questions
and settlements cost EXCHANGE, more if there are fewer cores than busy workers; an idle worker is
woken after RING.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from poolq.worker.claim_buffer import EXCESS_FACTOR, REVIEW_AFTER
from poolq.worker.prefetch import BATCH_SECONDS, Prefetch
from poolq.worker.watcher import CONFIRM_DELAY

EXCHANGE, RING = 0.0005, 0.002
LONG, LONGEST = BATCH_SECONDS + CONFIRM_DELAY / 1e9, REVIEW_AFTER / 1e9
AT_MOST = 1.3


class Work(NamedTuple):
    number: int
    kind: str
    seconds: float
    refused: bool = False


class Worker:
    def __init__(self, prefetch: int) -> None:
        self.prefetch = Prefetch(prefetch)
        self.ahead: deque[Work] = deque()
        self.due = self.considered = self.claimed = 0.0


class Simulation:
    """`ready` is a heap: the queue. `events` are (when, order, worker, what)."""

    def __init__(self, workers: int, prefetch: int, cores: int = 0) -> None:
        self.workers = [Worker(prefetch) for _ in range(workers)]
        self.cores = cores or workers
        self.ready: list[Work] = []
        self.idle = list(range(workers))
        self.events: list[tuple[float, int, int, str]] = []
        self.now = 0.0
        self.returned = 0
        self.longest = 0.0  # for which a batch occupied a worker
        self._order = 0

    def run(self, jobs: Sequence[Work]) -> float:
        """Until all are done; how long it took."""
        began = self.now
        self.ready = list(jobs)
        heapify(self.ready)
        self._ring()
        while self.events:
            self.now, _, index, what = heappop(self.events)
            worker = self.workers[index]
            if what == "relieve":
                self._return(worker, 0)
            elif what == "claim":
                self._claim(index)
            else:
                self._next(index)
        assert len(self.idle) == len(self.workers)
        return self.now - began

    def _at(self, after: float, index: int, what: str) -> None:
        self._order += 1
        heappush(self.events, (self.now + after, self._order, index, what))

    def _exchange(self) -> float:
        return EXCHANGE * max(1.0, (len(self.workers) - len(self.idle)) / self.cores)

    def _ring(self) -> None:
        if self.ready and self.idle:
            self._at(RING, self.idle.pop(0), "claim")

    def _claim(self, index: int) -> None:
        worker = self.workers[index]
        if index not in self.idle:
            self.longest = max(self.longest, self.now - worker.claimed)
        worker.claimed = self.now
        want = worker.prefetch.batch_size()
        some = [heappop(self.ready) for _ in range(min(want, len(self.ready)))]
        worker.prefetch.record_claim(len(some), want)
        worker.ahead.extend(some)
        worker.considered = self.now + self._exchange()
        worker.due = worker.considered + LONGEST
        if some:
            self._at(self._exchange(), index, "next")
        else:
            self.idle.append(index)
        self._ring()

    def _return(self, worker: Worker, keep: int) -> None:
        some = [worker.ahead.pop() for _ in range(len(worker.ahead) - keep)]
        self.returned += len(some)
        for one in some:
            heappush(self.ready, one)
        self._ring()

    def _next(self, index: int) -> None:
        worker = self.workers[index]
        if not worker.ahead:
            self._claim(index)
            return
        job = worker.ahead.popleft()
        # Whether a job runs at all is known only once it has asked.
        alone, spent = not (job.refused or worker.prefetch.is_short(job.kind)), 0.0
        if alone or self.now >= worker.due:
            spent = self._exchange()
            if alone or self.now >= worker.considered + LONGEST:
                keep = worker.prefetch.capacity() - 1
                if alone or len(worker.ahead) > EXCESS_FACTOR * keep:
                    self._return(worker, 0 if alone else max(0, keep))
                worker.considered = self.now
            worker.due = worker.considered + LONGEST
        if job.seconds > LONG and worker.ahead:
            self._at(spent + LONG, index, "relieve")
        takes = 2 * self._exchange() if job.refused else job.seconds
        # Nothing asks it before the job has ended.
        worker.prefetch.record(job.kind, 0.0 if job.refused else job.seconds, takes)
        worker.due = min(worker.due, self.now + spent + takes + BATCH_SECONDS)
        self._at(spent + takes, index, "next")


def quick(many: int, kind: str = "job") -> list[Work]:
    return [Work(number, kind, 20e-6) for number in range(many)]


@pytest.mark.parametrize("workers", [4, 8, 16, 64])
def test_a_tenth_of_jobs_that_a_limit_refuses(workers: int) -> None:
    """On two cores. What the workers wait for must not make them return their batches, nor claim
    so much that others are idle."""
    rng = random.Random(3)
    jobs = [
        Work(number, "scarce", 20e-6, refused=True) if rng.random() < 0.1 else one
        for number, one in enumerate(quick(5000))
    ]
    took = []
    for prefetch in (0, 1):
        simulation = Simulation(workers, prefetch, cores=2)
        simulation.run(quick(1000))
        took.append(simulation.run(jobs))
        assert simulation.returned <= len(jobs) / 10
        assert simulation.longest <= BATCH_SECONDS * (2 + workers / 4)
    assert took[0] <= 1.05 * took[1]


kinds = st.sampled_from(["a", "b", "c"])
seconds = st.one_of(st.floats(1e-5, 1e-3), st.floats(1e-3, 0.02), st.floats(0.02, 0.3))
runs = st.lists(st.tuples(st.integers(1, 50), kinds, seconds), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(runs, st.integers(1, 16), st.booleans())
def test_any_mix(runs: list[tuple[int, str, float]], workers: int, warm: bool) -> None:
    """Runs of equal jobs, of three classes. Workers start within a few milliseconds."""
    jobs = [Work(0, kind, time) for many, kind, time in runs for _ in range(many)]
    jobs = [job._replace(number=number) for number, job in enumerate(jobs)]
    times = [0.0, 0.0]
    for prefetch in (0, 1):
        simulation = Simulation(workers, prefetch)
        if warm:
            simulation.run(quick(500, "a"))
        times[prefetch] = simulation.run(jobs)
    assert times[0] <= AT_MOST * times[1] + 2 * BATCH_SECONDS
