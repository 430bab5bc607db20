"""Draining a backlog on Redis: poolq against every peer, and the bare batch loop."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.catalog import BARE, PEERS, POOLQ, STRICT
from benchmarks.draining import Drain, drain, middle
from benchmarks.goals import Goal
from benchmarks.report import Outcome
from benchmarks.scenarios.drains import HEADER, best, chart, frugal, rows

CONTENDERS = (POOLQ["redis"], STRICT, BARE["redis"], *PEERS)


def measure(bench: Bench) -> list[Outcome]:
    found = bench.interleave(CONTENDERS, lambda one: drain(bench, one))
    drains = {name: middle(runs) for name, runs in found.items() if runs}
    title = "Drain, Redis"
    return [
        Outcome(
            title, HEADER, rows(bench, CONTENDERS, drains), _goals(drains), chart(title, drains)
        )
    ]


def _goals(drains: dict[str, Drain]) -> list[Goal]:
    own, strict = drains[POOLQ["redis"].name], drains[STRICT.name]
    everyone = {one.name: drains[one.name] for one in PEERS if one.name in drains}
    pure = {one.name: drains[one.name] for one in PEERS if one.pure and one.name in drains}
    name, fastest = best(everyone)
    pure_name, pure_fastest = best(pure)
    frugal_name, frugal_cost = frugal(everyone)
    return [
        Goal(
            "drain-redis-pure",
            f"drain on Redis, against the fastest peer in pure Python ({pure_name})",
            10,
            own.rate / pure_fastest,
            "times",
        ),
        Goal(
            "drain-redis-every", f"… against the fastest ({name})", 1, own.rate / fastest, "times"
        ),
        Goal(
            "drain-redis-bare",
            "… against the bare batch loop",
            30,
            100 * own.rate / drains[BARE["redis"].name].rate,
            "%",
        ),
        Goal(
            "drain-redis-cpu",
            f"… CPU of the workers a job, against the most frugal peer ({frugal_name})",
            8,
            frugal_cost / own.workers,
            "times less",
        ),
        Goal(
            "drain-redis-strict",
            f"drain on Redis, `--prefetch=1`, against the fastest peer ({name})",
            1,
            strict.rate / fastest,
            "times",
        ),
    ]
