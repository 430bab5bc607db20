"""How much poolq's tables on PostgreSQL grow while many jobs come and go."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench, say
from benchmarks.catalog import POOLQ
from benchmarks.dead_rows import BACKLOG, sizes
from benchmarks.goals import Goal
from benchmarks.report import Outcome

FIRST, LAST = 100_000, 1_000_000
GOAL = 3
HEADER = ("jobs done", "tables and indexes, MB")
TEXT = f"""Two workers are fed as fast as they work, so that about {BACKLOG:,} jobs wait."""


def measure(bench: Bench) -> list[Outcome]:
    first, last = bench.scaled(FIRST), bench.scaled(LAST)
    found = [sizes(bench, POOLQ["postgresql"], first, last) for _ in range(bench.rounds)]
    small, large = (median(column) for column in zip(*found, strict=True))
    say(f"  {small / 1e6:.1f} MB, {large / 1e6:.1f} MB")
    rows = [[f"{first:,}", small / 1e6], [f"{last:,}", large / 1e6]]
    work = f"poolq's tables on PostgreSQL after {last:,} jobs, against {first:,}"
    goals = [Goal("bloat", work, GOAL, large / small, "times", most=True)]
    return [Outcome("Bloat, PostgreSQL", HEADER, rows, goals, None, TEXT)]
