"""Jobs of mixed durations: what is dispatched, and how soon it could be done.

`python -m benchmarks.mixes NAME PART` dispatches a part of a mix, 0 or 1, and prints how many jobs
it has. The queue is paused meanwhile, so that the workers find all of it at once. The durations of
a mix are the same in every run.
"""

import json
import random
import sys
from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace
from itertools import groupby
from typing import NamedTuple

import poolq
from benchmarks.peers import poolq as jobs
from poolq.jobs.producer import engine as chosen

WORKERS, QUEUE = 4, "default"
QUICK = 0.0
#: A job's class and its milliseconds.
Wish = tuple[type[poolq.Job], float]


class Mix(NamedTuple):
    """`before` has been run when `jobs` are dispatched; these are measured."""

    text: str
    before: Callable[[], list[Wish]]
    jobs: Callable[[], list[Wish]]


class Span(NamedTuple):
    """One run of a job, in nanoseconds. `number`: its place in the order of dispatching."""

    number: int
    worker: int
    began: int
    ended: int


def _same(kind: type[poolq.Job], milliseconds: float, many: int) -> Callable[[], list[Wish]]:
    return lambda: [(kind, milliseconds)] * many


def _backlog() -> list[Wish]:
    return [*_same(jobs.Nap, QUICK, 500)(), *_same(jobs.Sleep, 60.0, 100)()]


def _one_in_ten() -> list[Wish]:
    rng = random.Random(1)
    return [(jobs.Sleep, 60.0 if rng.random() < 0.1 else 1.0) for _ in range(800)]


def _uniform() -> list[Wish]:
    rng = random.Random(2)
    return [(jobs.Sleep, rng.uniform(1, 50)) for _ in range(240)]


def _alternating() -> list[Wish]:
    return [(jobs.Sleep, 30.0), (jobs.Nap, QUICK)] * 200


MIXES = {
    "after": Mix(
        "80 of 90 ms, after 4,000 no-ops of the same class",
        _same(jobs.Sleep, QUICK, 4000),
        _same(jobs.Sleep, 90.0, 80),
    ),
    "backlog": Mix("500 no-ops, then 100 of 60 ms", _same(jobs.Nap, QUICK, 500), _backlog),
    "one-in-ten": Mix(
        "one class: 1 ms, one in ten 60 ms", _same(jobs.Sleep, QUICK, 500), _one_in_ten
    ),
    "uniform": Mix("one class: 1 to 50 ms", _same(jobs.Sleep, QUICK, 500), _uniform),
    "alternating": Mix(
        "30 ms and no-ops in turn, two classes", _same(jobs.Nap, QUICK, 500), _alternating
    ),
}


def list_scheduled(spans: Sequence[Span], workers: int) -> int:
    """Nanoseconds in which workers that claim one by one, in the order of dispatching and at no
    cost, would have run these jobs."""
    free = [0] * workers
    heapify(free)
    for span in sorted(spans):
        heapreplace(free, free[0] + span.ended - span.began)
    return max(free)


def ratio(spans: Sequence[Span], workers: int) -> float:
    """How many times as long as that it took."""
    took = max(span.ended for span in spans) - min(span.began for span in spans)
    return took / list_scheduled(spans, workers)


def main(name: str, part: int) -> int:
    """Dispatch; how many."""
    jobs.prepare()
    wishes, engine = MIXES[name][1 + part](), chosen()
    engine.pause(QUEUE)
    numbered = enumerate(wishes)
    for kind, some in groupby(numbered, key=lambda one: one[1][0]):
        payloads = [{"number": number, "ms": wish[1]} for number, wish in some]
        poolq.dispatch_many(kind, payloads)
    engine.resume(QUEUE)
    return len(wishes)


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"jobs": main(sys.argv[1], int(sys.argv[2]))}) + "\n")
