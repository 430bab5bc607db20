"""Draining a backlog on MariaDB, which flushes at each commit: poolq, huey and the bare loops."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.catalog import BARE, HUEY_MARIADB, INDEXED, ONE_BY_ONE, POOLQ
from benchmarks.draining import drain
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.scenarios.drains import HEADER, against, chart, middles, rows

CONTENDERS = (POOLQ["mariadb"], BARE["mariadb"], INDEXED, ONE_BY_ONE, HUEY_MARIADB)


def measure(bench: Bench) -> list[Outcome]:
    found = bench.interleave(CONTENDERS, lambda one: drain(bench, one))
    drains = middles(found)
    own = drains[POOLQ["mariadb"].name]
    ceiling = max(drains[one.name] for one in (BARE["mariadb"], INDEXED))  # by rate
    goals = [
        against("drain-mariadb-bare", "drain on MariaDB", own, ceiling, 50),
        Goal(
            "drain-mariadb-one-by-one",
            "drain on MariaDB, against the bare one-by-one claim loop",
            8,
            own.rate / drains[ONE_BY_ONE.name].rate,
            "times",
        ),
    ]
    title = "Drain, MariaDB"
    table = rows(bench, CONTENDERS, found)
    return [Outcome(title, HEADER, table, goals, chart(title, drains))]
