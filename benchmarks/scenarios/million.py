"""What a job costs when a million others are ready and another million wait for their time."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.bench import Bench, say
from benchmarks.catalog import NAMES, POOLQ
from benchmarks.goals import Goal
from benchmarks.report import Outcome

FEW, MANY = 1000, 1_000_000
JOBS = 30_000
GOAL = 15
#: On PostgreSQL, how many times as long a drain, a dispatch and a look may take.
LONGER, LOOK = 1.15, 3
HEADER = (
    "",
    "ready, and as many delayed",
    "µs a job",
    "CPU, µs a job",
    "more CPU, %",
    "µs a dispatch",
    "`queue ls`, ms",
)
TEXT = """A worker claims and settles jobs, 100 per exchange with the engine, without running
them, because running them costs the same in both cases and would hide the difference. The CPU is
that of worker and server, which are one process on SQLite. The goal concerns the CPU, because
the time also depends on the disk. `queue ls` is what the command asks an engine that has just
connected."""


class Cost(NamedTuple):
    seconds: float
    cpu: float
    dispatch: float
    look: float


def turn(bench: Bench, engine: str, waiting: int) -> Cost:
    """Microseconds a job, as the median of turns of 1,000; of a dispatch; of a look."""
    place = bench.place(engine)
    place.clean()
    server = next(iter(place.pids), 0)
    words = [str(waiting), str(waiting), str(bench.scaled(JOBS)), str(server)]
    found = bench.run(POOLQ[engine], ["benchmarks.stepping", *words])
    return Cost(*(median(found[name]) for name in ("seconds", "cpu", "dispatch", "look")))


def middle(costs: Sequence[Cost]) -> Cost:
    """Each column's median."""
    return Cost(*(median(column) for column in zip(*costs, strict=True)))


def row(name: str, waiting: int, found: Cost, more: float | str) -> list[str | float]:
    look = found.look / 1000
    return [name, f"{waiting:,}", found.seconds, found.cpu, more, found.dispatch, look]


def longer(name: str, at: str, base: Cost, full: Cost) -> list[Goal]:
    """How many times as long each act takes."""
    acts = [
        ("drain", "a job", full.seconds / base.seconds, LONGER),
        ("dispatch", "a dispatch", full.dispatch / base.dispatch, LONGER),
        ("look", "`poolq queue ls`", full.look / base.look, LOOK),
    ]
    return [
        Goal(f"million-postgresql-{key}", f"time of {act} on {name}, {at}", wanted, times, "times",
             most=True)
        for key, act, times, wanted in acts
    ]  # fmt: skip


def measure(bench: Bench) -> list[Outcome]:
    many = max(FEW, int(MANY * bench.scale))
    rows: list[list[str | float]] = []
    goals = []
    for engine, name in NAMES.items():
        taken = [(turn(bench, engine, FEW), turn(bench, engine, many)) for _ in range(bench.rounds)]
        base, full = (middle(costs) for costs in zip(*taken, strict=True))
        more = 100 * (full.cpu / base.cpu - 1)
        rows += [row(name, FEW, base, ""), row(name, many, full, more)]
        at = f"at {many:,} ready and delayed, against {FEW:,}"
        work = f"cost of a job on {name}, {at}"
        goals.append(Goal(f"million-{engine}", work, GOAL, more, "% more", most=True))
        if engine == "postgresql":
            goals += longer(name, at, base, full)
        say(f"  {name}: {more:+.0f} %")
        bench.place(engine).clean()
    return [Outcome("A million jobs wait", HEADER, rows, goals, None, TEXT)]
