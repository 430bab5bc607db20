"""A second queue beside one with 10,000 parked jobs whose limit has room."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench, say
from benchmarks.catalog import NAMES, POOLQ
from benchmarks.goals import Goal
from benchmarks.report import Outcome

JOBS, GOAL = 10_000, 1.5
HEADER = ("", "beside plain jobs, ms", "beside parked jobs, ms", "times as long")
TEXT = f"""{JOBS:,} jobs of one queue are worked off by one worker that serves all queues, and runs
nothing: plain jobs, or parked ones whose limit has room for all. The table shows how long a job of
another queue waits meanwhile until it is claimed, as the middle of the means of all rounds."""


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals = []
    for engine, name in NAMES.items():
        turns = []
        for _ in range(bench.rounds):
            bench.place(engine).clean()
            turns.append(
                bench.run(POOLQ[engine], ["benchmarks.turns", str(max(2000, bench.scaled(JOBS)))])
            )
        plain, parked = (median(one[kind] for one in turns) for kind in ("plain", "parked"))
        rows.append([name, plain, parked, parked / plain])
        work = f"the wait of a second queue beside parked jobs on {name}, against plain ones"
        goals.append(Goal(f"turns-{engine}", work, GOAL, parked / plain, "times", most=True))
        say(f"  {name}: {parked / plain:.2f} times")
    return [Outcome("Queues take turns", HEADER, rows, goals, None, TEXT)]
