"""Reloads under load: `benchmarks/reload.py`, as a part of the whole."""

from __future__ import annotations

from benchmarks import reload
from benchmarks.bench import Bench
from benchmarks.goals import Goal
from benchmarks.report import Outcome

HEADER = (
    "reloads",
    "jobs/s, usually",
    "in the slowest 0.25 s",
    "under half of it for, s",
    "lost",
    "run twice",
    "good loads taken",
    "broken refused",
)
TEXT = """A pool of 2 workers runs jobs of 5 ms, on a separate Redis server, while its code is
reloaded; every other version of the code is broken."""


def measure(bench: Bench) -> list[Outcome]:
    found = reload.run()
    row = [f"{reload.RELOADS}", found.usual, found.slowest, found.under]
    row += [str(one) for one in (found.lost, found.doubled, found.taken, found.refused)]
    work = "reload: the rate is under half of the usual one"
    goals = [Goal("reload", work, reload.LONGEST, found.under, "s", most=True)]
    work = "reload: jobs lost or run twice"
    goals.append(Goal("reload-jobs", work, 0, found.lost + found.doubled, most=True))
    return [Outcome("Reloads under load", HEADER, [row], goals, None, TEXT)]
