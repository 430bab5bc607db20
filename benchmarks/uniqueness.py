"""Dispatching unique jobs beside plain ones: `python -m benchmarks.uniqueness 5000`.

Runs in a process of its own, with poolq's settings from the environment. Plain jobs, unique ones
with keys of their own, and unique ones whose key another job has take turns of 100. Printed is one
line of JSON.
"""

import json
import sys
from collections.abc import Callable
from itertools import count
from statistics import median
from time import perf_counter

from benchmarks.peers.poolq import Noop, prepare
from benchmarks.work import PAYLOAD
from poolq.jobs.unique import Unique

TURN = 100
_serial = count()


class Once(Noop):
    name = "benchmarks:Once"
    unique = Unique("number")


def plain() -> None:
    Noop.dispatch({**PAYLOAD, "number": next(_serial)})


def unique() -> None:
    Once.dispatch({**PAYLOAD, "number": next(_serial)})


def skipped() -> None:
    Once.dispatch({**PAYLOAD, "number": -1})


def turn(act: Callable[[], None]) -> float:
    """Seconds of one turn."""
    began = perf_counter()
    for _ in range(TURN):
        act()
    return perf_counter() - began


def main(many: int) -> dict[str, float]:
    """Jobs a second of each kind."""
    prepare()
    acts = {"plain": plain, "unique": unique, "skipped": skipped}
    for act in acts.values():  # connects, and makes the tables
        turn(act)
    found = {name: [turn(act)] for name, act in acts.items()}
    for _ in range(many // TURN):
        for name, act in acts.items():
            found[name].append(turn(act))
    return {name: TURN / median(turns) for name, turns in found.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))) + "\n")
