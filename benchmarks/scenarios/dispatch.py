"""Dispatching one by one beside the same script or INSERT sent bare, and many at once."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.catalog import NAMES, POOLQ, Contender
from benchmarks.goals import Goal
from benchmarks.report import Outcome

ONE_BY_ONE = {"redis": 20_000, "sqlite": 10_000, "mariadb": 2000}
MANY = {"redis": 100_000, "sqlite": 100_000, "mariadb": 50_000}
SHARE = 85
RATES = {"redis": 60_000, "sqlite": 60_000, "mariadb": 25_000}
HEADER = ("", "one by one/s", "sent bare/s", "poolq's share, %", "dispatch_many/s")
TEXT = """"Sent bare" is the same script or INSERT with arguments that were built before, over a
connection of the same client library. `dispatch_many` is one call with all the jobs."""


def turn(bench: Bench, one: Contender) -> tuple[float, float, float]:
    """Rates: one by one, bare, many."""
    place, engine = bench.place(one.engine), one.engine
    place.clean()
    words = ["benchmarks.dispatching", str(bench.scaled(ONE_BY_ONE[engine]))]
    found = bench.run(one, words)
    place.clean()
    many = bench.scaled(MANY[engine])
    return found["poolq"], found["bare"], many / bench.produce(one, "fill", many)["seconds"]


def measure(bench: Bench) -> list[Outcome]:
    contenders = [one._replace(name=NAMES[one.engine]) for one in POOLQ.values()]
    found = bench.interleave(contenders, lambda one: turn(bench, one))
    rows, goals = [], []
    for one in contenders:
        own, bare, many = (median(column) for column in zip(*found[one.name], strict=True))
        share = 100 * own / bare
        rows.append([one.name, own, bare, share, many])
        work = f"dispatch one by one on {one.name}, against the same sent bare"
        goals.append(Goal(f"dispatch-{one.engine}", work, SHARE, share, "%"))
        work = f"`dispatch_many` on {one.name}"
        goals.append(Goal(f"dispatch-many-{one.engine}", work, RATES[one.engine], many, "/s"))
    return [Outcome("Dispatch", HEADER, rows, goals, None, TEXT)]
