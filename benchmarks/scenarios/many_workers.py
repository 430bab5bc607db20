"""Many workers on one SQLite file, which one of them writes to at a time."""

from __future__ import annotations

from statistics import median
from time import monotonic, sleep

from benchmarks.bench import Bench, CannotRun, Crew, say
from benchmarks.catalog import POOLQ
from benchmarks.draining import STALL
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.watching import until_idle

JOBS = 400_000
FEW = 4
#: How many workers, and what share of the rate of FEW they must reach, in percent.
WANTED = {64: 80, 200: 50}
LOOK = 0.02
HEADER = ("workers", "jobs/s", f"of the rate of {FEW}, %")
TEXT = f"""{JOBS:,} jobs that do nothing, dispatched while the queue is paused and all workers are
there and idle. After the queue is resumed, the time runs from the moment when the driver
sees that the first job has ended to the end of the last job. The table shows the middle round."""


def until_done(crew: Crew, wanted: int) -> None:
    """Wait for so many jobs to have run. Raises CannotRun."""
    progress, last = monotonic(), -1
    while (done := crew.tally.total()) < wanted:
        if done != last:
            progress, last = monotonic(), done
        crew.alive()
        if monotonic() - progress > STALL:
            raise CannotRun(f"it stood still at {done} of {wanted} jobs")
        sleep(LOOK)


def turn(bench: Bench, workers: int) -> float:
    """Jobs a second."""
    one, jobs = POOLQ["sqlite"], bench.scaled(JOBS)
    bench.place("sqlite").clean()
    bench.produce(one, "fill", 1)  # makes the tables
    with bench.crew(bench.poolq("sqlite", f"--procs={workers}")) as crew:
        until_idle(crew, workers)
        until_done(crew, 1)
        bench.produce(one, "fill_paused", jobs)
        bench.produce(one, "resume", 0)
        until_done(crew, 2)
        before, began = crew.tally.total(), monotonic()
        until_done(crew, 1 + jobs)
        return (1 + jobs - before) / (monotonic() - began)


def measure(bench: Bench) -> list[Outcome]:
    numbers = (FEW, *WANTED)
    turns: dict[int, list[float]] = {workers: [] for workers in numbers}
    for _ in range(bench.rounds):
        for workers in numbers:
            turns[workers].append(turn(bench, workers))
            say(f"  {workers} workers: {turns[workers][-1]:,.0f} jobs/s")
    rates = {workers: median(turns[workers]) for workers in numbers}
    shares = {workers: 100 * rates[workers] / rates[FEW] for workers in numbers}
    goals = [
        Goal(
            f"many-workers-{workers}",
            f"{workers} workers on SQLite, against {FEW}",
            wanted,
            shares[workers],
            "%",
        )
        for workers, wanted in WANTED.items()
    ]
    rows: list[list[str | float]] = [[f"{at}", rates[at], shares[at]] for at in numbers]
    return [Outcome("Many workers, SQLite", HEADER, rows, goals, None, TEXT)]
