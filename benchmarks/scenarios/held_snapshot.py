"""A snapshot is held open on PostgreSQL for ten minutes, while jobs come and go."""

from __future__ import annotations

from math import isnan

from benchmarks.bench import Bench, CannotRun, say
from benchmarks.catalog import PEERS_POSTGRESQL, POOLQ, Contender
from benchmarks.dead_rows import Held, at_rate, hold
from benchmarks.draining import drain
from benchmarks.environments import CannotInstall
from benchmarks.goals import Goal
from benchmarks.report import Outcome

#: Others hold it for a shorter time, so that all eight together take less than an hour.
SECONDS, OTHERS_SECONDS, SHORTEST, MINUTE, RATE = 600, 120, 60, 60, 1000
KEPT, DELAY, LATEST = 90, 1, 5
#: All jobs start under a limit, whose window each step updates, and which never holds one back.
LIMITED = POOLQ["postgresql"]._replace(
    name="poolq, under a rate limit", jobs=8000, env={"BENCH_LIMIT": f"{10 * RATE}"}
)
OWN = POOLQ["postgresql"].name
HEADER = (
    "",
    "jobs/s, offered",
    "before",
    "last minute",
    "kept, %",
    "server's CPU ms per 1,000: before",
    "last minute",
    "rows read a job: before",
    "last minute",
    "latest retry, s",
    "dead rows",
    "set-up",
)
TEXT = f"""Jobs are dispatched at {RATE:,} a second, or at half of the rate at which this system
drains, if that is less, and 1 % of them fail at first and are retried after {DELAY} s. Then a
REPEATABLE READ transaction, which has run a query, is left open: for {SECONDS} s with poolq, for
{OTHERS_SECONDS} s with the others. Compared are the jobs that started in its last minute (of the
others, half a minute) and in the time before it that is as long. Rows read are the index entries
and rows that all statements have read, alive or dead. The latest retry is the longest time from a
failure to the next start. oban-py and django-tasks-db keep jobs that are done; django-tasks-db
retries nothing. One round."""


def turn(bench: Bench, one: Contender) -> tuple[float, Held]:
    """The rate at which jobs were offered, and what came of it."""
    what = "limited" if one is LIMITED else "fill"
    rate = min(RATE, drain(bench, one._replace(jobs=one.jobs // 4), what=what).rate / 2)
    whole = SECONDS if one is POOLQ["postgresql"] else OTHERS_SECONDS
    seconds = max(SHORTEST, whole * bench.scale)
    minute = min(MINUTE, seconds / 4)
    return rate, hold(bench, one, seconds, minute, at_rate(rate), what=what)


def measure(bench: Bench) -> list[Outcome]:
    rows: list[list[str | float]] = []
    goals: list[Goal] = []
    for one in (POOLQ["postgresql"], LIMITED, *PEERS_POSTGRESQL):
        try:
            rate, found = turn(bench, one)
        except (CannotRun, CannotInstall) as error:
            if not one.peer:
                raise
            rows.append([one.name, *[""] * (len(HEADER) - 2), f"could not run: {error}"])
            continue
        kept = 100 * found.last.rate / found.before.rate
        say(f"  {one.name}, {rate:,.0f}/s: {kept:.1f} %, {found}")
        late = "" if isnan(found.latest) else found.latest
        paces = [number for pair in zip(found.before, found.last, strict=True) for number in pair]
        rows.append(
            [one.name, rate, *paces[:2], kept, *paces[2:], late, f"{found.dead:,}", one.setup]
        )
        if one.name == OWN:
            goals = wanted(kept, found)
    return [Outcome("A held snapshot, PostgreSQL", HEADER, rows, goals, None, TEXT)]


def wanted(kept: float, found: Held) -> list[Goal]:
    work = "a snapshot held on PostgreSQL"
    latest = float("inf") if found.missing else found.latest
    return [
        Goal("held-rate", f"{work}: jobs started in its last minute, of those in the minute before"
             " it", KEPT, kept, "%"),
        Goal("held-retries", f"{work}: the latest retry", max(LATEST, 3 * DELAY), latest, "s",
             most=True),
    ]  # fmt: skip
