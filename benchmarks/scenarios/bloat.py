"""How much poolq's tables on PostgreSQL grow while many jobs come and go."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench, say
from benchmarks.catalog import POOLQ
from benchmarks.dead_rows import BACKLOG, sizes
from benchmarks.goals import Goal
from benchmarks.places import OnPostgreSQL
from benchmarks.report import Outcome

FIRST, LAST = 100_000, 1_000_000
GOAL = 3
#: Seconds after which autovacuum looks at the tables again: as docs/engines.md advises for tens of
#: thousands of jobs a second and for thousands, and by default.
ADVISED, OTHERS, DEFAULT = 1, OnPostgreSQL.naptime, 60
HEADER = ("`autovacuum_naptime`, s", "jobs done", "tables and indexes, MB", "times")
TEXT = f"""Two workers are fed as fast as they work, so that about {BACKLOG:,} jobs wait. By
default, autovacuum looks at a database only once a minute. At this rate it should each second,
as the tables take what is done between two looks and while it works, about 1 kB a job, however
many were done before. The other benchmarks have {OTHERS} s, for poolq and for all peers."""


def turn(bench: Bench, seconds: int) -> tuple[int, int]:
    """The sizes after few jobs and after many."""
    place = bench.place("postgresql")
    assert isinstance(place, OnPostgreSQL)
    place.nap(seconds)
    try:
        return sizes(bench, POOLQ["postgresql"], bench.scaled(FIRST), bench.scaled(LAST))
    finally:
        place.nap(OTHERS)


def measure(bench: Bench) -> list[Outcome]:
    first, last = bench.scaled(FIRST), bench.scaled(LAST)
    rows: list[list[str | float]] = []
    times = {}
    for seconds in (ADVISED, OTHERS, DEFAULT):
        found = [turn(bench, seconds) for _ in range(bench.rounds)]
        small, large = (median(column) for column in zip(*found, strict=True))
        times[seconds] = large / small
        rows.append([f"{seconds}", f"{first:,}", small / 1e6, ""])
        rows.append([f"{seconds}", f"{last:,}", large / 1e6, large / small])
        say(f"  {seconds} s: {small / 1e6:.1f} MB, {large / 1e6:.1f} MB")
    work = f"poolq's tables on PostgreSQL after {last:,} jobs, against {first:,}"
    goals = [Goal("bloat", work, GOAL, times[ADVISED], "times", most=True)]
    return [Outcome("Bloat, PostgreSQL", HEADER, rows, goals, None, TEXT)]
