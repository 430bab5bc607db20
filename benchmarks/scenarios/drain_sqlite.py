"""Draining a backlog on SQLite, synchronous=NORMAL: poolq, huey, taskito, the bare batch loop."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.catalog import BARE, HUEY_FSYNC, HUEY_SQLITE, POOLQ, TASKITO
from benchmarks.draining import drain
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.scenarios.drains import HEADER, against, best, chart, middles, rows

HUEYS = (HUEY_SQLITE, HUEY_FSYNC)
TEXT = """There is no server; workers and producer do its work themselves."""
CONTENDERS = (POOLQ["sqlite"], BARE["sqlite"], *HUEYS, TASKITO)


def measure(bench: Bench) -> list[Outcome]:
    found = bench.interleave(CONTENDERS, lambda one: drain(bench, one))
    drains = middles(found)
    own = drains[POOLQ["sqlite"].name]
    name, fastest = best({one.name: drains[one.name] for one in HUEYS if one.name in drains})
    goals = [
        Goal(
            "drain-sqlite-huey",
            f"drain on SQLite, against huey at its fastest setting ({name})",
            4,
            own.rate / fastest,
            "times",
        ),
        against("drain-sqlite-bare", "drain on SQLite", own, drains[BARE["sqlite"].name], 30),
    ]
    title = "Drain, SQLite"
    table = rows(bench, CONTENDERS, found)
    return [Outcome(title, HEADER, table, goals, chart(title, drains), TEXT)]
