"""10,000 jobs under a limit of 1,000 a second, which wait in line: claims, admissions, rate."""

from __future__ import annotations

from contextlib import closing
from time import monotonic, sleep

from benchmarks.admissions import Verdict, judge, recorded
from benchmarks.bench import Bench, CannotRun
from benchmarks.catalog import NAMES, POOLQ
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from tests.contract.helpers import open_engine

JOBS, LIMIT, SECOND = 10_000, 1000, 1_000_000
EXTRA, EXCEEDED, SHARE = 1, 0, 99
PATIENCE = 20.0
HEADER = (
    "",
    "jobs",
    "extra claims a job",
    "admitted",
    "windows",
    "most in one",
    "over the limit",
    "of the rate used, %",
)
TEXT = f"""{JOBS:,} jobs, of which {LIMIT:,} may start in a second, with `on_limit="park"`, on two
workers. Admitted starts are counted from the engine's complete record: each write to the limit's
window is kept, on Redis by MONITOR, on the others by a trigger, and each must add to its starts. A
start is over the limit if its window already has as many as allowed, or if the window opened before
the previous one had ended. A claim is extra if it found the limit reached, so that the job was
parked. The rate is measured from the opening of the first window to that of the last one. The table
shows the round with the middle rate, but the most starts over the limit of any round."""


def turn(bench: Bench, engine: str) -> tuple[int, float, Verdict]:
    """Jobs, extra claims of each, and what the record says."""
    place, jobs = bench.place(engine), max(3 * LIMIT, bench.scaled(JOBS))
    place.clean()
    one = POOLQ[engine]
    bench.produce(one, "limited", jobs)
    with recorded(place, bench.scratch.folder("admissions")) as writes, bench.crew(one) as crew:
        end = monotonic() + jobs / LIMIT + PATIENCE
        while crew.tally.total() < jobs:
            crew.alive()
            if monotonic() > end:
                raise CannotRun(f"{crew.tally.total()} of {jobs} jobs ran in time")
            sleep(0.02)
        with closing(open_engine(place.url, "poolq")) as looks:
            parked = sum(queue.get("parked", 0) for queue in looks.totals().values())
        return jobs, parked / jobs, judge(writes(), LIMIT, SECOND)


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals = []
    for engine, name in NAMES.items():
        turns = sorted(
            (turn(bench, engine) for _ in range(bench.rounds)), key=lambda one: one[2].share
        )
        jobs, extra, found = turns[len(turns) // 2]
        over = max(one.over + abs(one.admitted - jobs) for _, _, one in turns)
        share = 100 * found.share
        told = (f"{found.admitted:,}", f"{found.windows}", found.most, over, share)
        rows.append([name, f"{jobs:,}", extra, *told])
        work = f"{jobs:,} jobs, 1,000/s, parked, on {name}"
        goals += [
            Goal(f"limit-claims-{engine}", f"{work}: extra claims a job", EXTRA, extra, most=True),
            Goal(
                f"limit-exceeded-{engine}",
                f"{work}: starts over the limit, by the engine's record",
                EXCEEDED,
                over,
                most=True,
            ),
            Goal(f"limit-rate-{engine}", f"{work}: of the rate", SHARE, share, "%"),
        ]
    return [Outcome("A rate limit", HEADER, rows, goals, None, TEXT)]
