"""Draining a backlog on Redis: poolq against every peer, and the bare batch loop."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.catalog import BARE, PEERS, POOLQ, STRICT
from benchmarks.draining import Drain, drain
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.scenarios.drains import HEADER, against, best, chart, frugal, middles, rows

CONTENDERS = (POOLQ["redis"], STRICT, BARE["redis"], *PEERS)


def measure(bench: Bench) -> list[Outcome]:
    found = bench.interleave(CONTENDERS, lambda one: drain(bench, one))
    drains = middles(found)
    title = "Drain, Redis"
    return [
        Outcome(title, HEADER, rows(bench, CONTENDERS, found), _goals(drains), chart(title, drains))
    ]


def _goals(drains: dict[str, Drain]) -> list[Goal]:
    own, strict = drains[POOLQ["redis"].name], drains[STRICT.name]
    everyone = {one.name: drains[one.name] for one in PEERS if one.name in drains}
    pure = {one.name: drains[one.name] for one in PEERS if one.pure and one.name in drains}
    name, fastest = best(everyone)
    pure_name, pure_fastest = best(pure)
    frugal_name, frugal_cost = frugal(everyone)
    times = own.rate / fastest
    return [
        Goal(
            "drain-redis-pure",
            f"drain on Redis, against the fastest peer in pure Python ({pure_name})",
            10,
            own.rate / pure_fastest,
            "times",
        ),
        Goal("drain-redis-all", f"drain on Redis, against the fastest ({name})", 1, times, "times"),
        against("drain-redis-bare", "drain on Redis", own, drains[BARE["redis"].name], 30),
        Goal(
            "drain-redis-cpu",
            f"workers' CPU a job on Redis, against the most frugal peer's ({frugal_name})",
            1 / 8,
            own.workers / frugal_cost,
            "of it",
            most=True,
        ),
        Goal(
            "drain-redis-strict",
            f"drain on Redis with `--prefetch=1`, against the fastest peer ({name})",
            1,
            strict.rate / fastest,
            "times",
        ),
    ]
