"""Draining a backlog on PostgreSQL, with fsync on: poolq, its peers there, and the bare loop."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.catalog import BARE, PEERS_POSTGRESQL, POOLQ, PROCRASTINATE
from benchmarks.draining import drain
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.scenarios.drains import HEADER, against, best, chart, middles, rows

CONTENDERS = (POOLQ["postgresql"], BARE["postgresql"], *PEERS_POSTGRESQL)
HALF, TIMES = 50, 10
WORK = "drain on PostgreSQL"


def measure(bench: Bench) -> list[Outcome]:
    found = bench.interleave(CONTENDERS, lambda one: drain(bench, one))
    drains = middles(found)
    own, bare = drains[POOLQ["postgresql"].name], drains[BARE["postgresql"].name]
    there = {one.name: drains[one.name] for one in PEERS_POSTGRESQL if one.name in drains}
    goals = [against("drain-postgresql-bare", WORK, own, bare, HALF)]
    named = {PROCRASTINATE.name: there.get(PROCRASTINATE.name)}
    _, rate = best({name: one for name, one in named.items() if one})
    work = f"{WORK}, against {PROCRASTINATE.name}"
    goals.append(Goal("drain-postgresql-procrastinate", work, TIMES, own.rate / rate, "times"))
    name, rate = best(there)
    work = f"{WORK}, against the fastest peer ({name})"
    goals.append(Goal("drain-postgresql-peers", work, 1, own.rate / rate, "times"))
    title = "Drain, PostgreSQL"
    return [Outcome(title, HEADER, rows(bench, CONTENDERS, found), goals, chart(title, drains))]
