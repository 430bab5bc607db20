"""Mixes of jobs of which some must wait: their classes, and what is dispatched.

`python -m benchmarks.overloads SCALE PART...` dispatches these parts, shuffled, and prints how many
jobs each has. The queue is paused meanwhile, so that the workers find all of it at once. Each job
notes the number of its part, and when it began and ended.
"""

import json
import random
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import groupby
from time import monotonic_ns, sleep
from typing import NamedTuple

import poolq
from benchmarks import tally
from poolq.jobs.producer import engine

QUEUE = "default"
RATE = 100  # starts a second under a scarce limit


class Noted(poolq.Job):
    def run(self) -> None:
        began = monotonic_ns()
        self.work()
        tally.span(list(PARTS).index(self.payload["part"]), began)
        tally.count()

    def work(self) -> None:
        """Nothing."""


class Noop(Noted):
    """What nothing holds back."""


class Parks(Noted):
    on_limit = "park"

    def rate_limit(self) -> poolq.Limit:
        return poolq.Limit(RATE, seconds=1, key="parks")


class Releases(Noted):
    attempts = 1000

    def rate_limit(self) -> poolq.Limit:
        return poolq.Limit(RATE, seconds=1, key="releases")


class Twice(Noted):
    on_limit = "park"

    def rate_limit(self) -> list[poolq.Limit]:
        wide = poolq.Limit(10 * RATE, seconds=1, key="wide")
        return [poolq.Limit(RATE, seconds=1, key="narrow"), wide]


class Single(Noted):
    def rate_limit(self) -> poolq.Concurrent:
        return poolq.Concurrent(1, key="single")


class Fails(Noted):
    attempts = 2
    retry_after = "+1 second"

    def work(self) -> None:
        if self.attempt == 1:
            raise ValueError("at first")


class Slow(Noted):
    def work(self) -> None:
        sleep(0.06)


class Big(Noted):
    """Its payload has 500 KB."""


KINDS = [type(f"Kind{number}", (Noted,), {"__module__": __name__}) for number in range(100)]
globals().update({kind.__name__: kind for kind in KINDS})


class Part(NamedTuple):
    """`held`: whether a limit holds its jobs back."""

    text: str
    many: int
    kind: Callable[[int], type[poolq.Job]]
    held: bool = False
    filling: str = ""
    queue: Callable[[int], str] = lambda _: QUEUE


PARTS = {
    "no-ops": Part("no-ops", 20_000, lambda _: Noop),
    "park": Part("a limit, parked", 2000, lambda _: Parks, held=True),
    "release": Part("a limit, released", 2000, lambda _: Releases, held=True),
    "two limits": Part("two limits, parked", 2000, lambda _: Twice, held=True),
    "one at once": Part("`Concurrent(1)`", 2000, lambda _: Single, held=True),
    "failing": Part("failing once, again after 1 s", 2000, lambda _: Fails),
    "60 ms": Part("of 60 ms", 200, lambda _: Slow),
    "500 KB": Part("of 500 KB", 200, lambda _: Big, filling="x" * 500_000),
    "100 kinds": Part("of 100 kinds", 2000, lambda number: KINDS[number % 100]),
    "100 queues": Part(
        "in 100 queues", 2000, lambda _: Noop, queue=lambda number: f"q{number % 100}"
    ),
}


def main(scale: float, parts: list[str]) -> dict[str, int]:
    """Return how many jobs of each part were dispatched."""
    rng, work, queues = random.Random(1), list[tuple[str, int]](), {QUEUE}
    many = {}
    for name in parts:
        part = PARTS[name]
        many[name] = max(6 * RATE if part.held else 10, round(part.many * scale))
    for name, some in many.items():
        work += [(name, number) for number in range(some)]
        queues |= {PARTS[name].queue(number) for number in range(some)}
    rng.shuffle(work)
    for queue in queues:
        engine().pause(queue)
    for kind, group in groupby(work, lambda one: PARTS[one[0]].kind(one[1])):
        jobs = []
        for name, number in group:
            part = PARTS[name]
            payload = {"part": name, "filling": part.filling}
            jobs.append((payload, {"queue": part.queue(number)}))
        poolq.dispatch_many(kind, jobs)
    for queue in queues:
        engine().resume(queue)
    return many


if __name__ == "__main__":
    # Workers find the classes in this module by its name.
    many = import_module("benchmarks.overloads").main(float(sys.argv[1]), sys.argv[2:])
    sys.stdout.write(json.dumps(many) + "\n")
