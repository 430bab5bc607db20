"""Dispatching one by one beside the same script or INSERT sent bare, and many at once."""

from __future__ import annotations

from math import isnan, nan
from statistics import median

from benchmarks.bench import Bench
from benchmarks.catalog import NAMES, POOLQ, Contender
from benchmarks.goals import Goal
from benchmarks.report import Outcome

ONE_BY_ONE = {"redis": 20_000, "sqlite": 10_000, "mariadb": 2000, "postgresql": 2000}
MANY = {"redis": 100_000, "sqlite": 100_000, "mariadb": 50_000, "postgresql": 50_000}
SHARE, COPY_SHARE = 85, 50
RATES = {"redis": 60_000, "sqlite": 60_000, "mariadb": 25_000}
HEADER = (
    "", "one by one/s", "sent bare/s", "poolq's share, %", "dispatch_many/s", "10,000, of COPY, %"
)  # fmt: skip
TEXT = """"Sent bare" is the same script or INSERT with arguments that were built before, over a
connection of the same client library. `dispatch_many` is one call with all the jobs. On PostgreSQL,
10,000 jobs in one call take turns with COPY of the same rows."""


def turn(bench: Bench, one: Contender) -> tuple[float, float, float, float]:
    """Rates: one by one, bare, many; and the share of COPY's rate, NaN where there is none."""
    place, engine = bench.place(one.engine), one.engine
    place.clean()
    words = ["benchmarks.dispatching", str(bench.scaled(ONE_BY_ONE[engine]))]
    found = bench.run(one, words)
    place.clean()
    many = bench.scaled(MANY[engine])
    rate = many / bench.produce(one, "fill", many)["seconds"]
    copied = 100 * found["many"] / found["copy"] if "copy" in found else nan
    return found["poolq"], found["bare"], rate, copied


def measure(bench: Bench) -> list[Outcome]:
    contenders = [one._replace(name=NAMES[one.engine]) for one in POOLQ.values()]
    found = bench.interleave(contenders, lambda one: turn(bench, one))
    rows: list[list[str | float]] = []
    goals = []
    for one in contenders:
        own, bare, many, copied = (median(column) for column in zip(*found[one.name], strict=True))
        share = 100 * own / bare
        rows.append([one.name, own, bare, share, many, "" if isnan(copied) else copied])
        work = f"dispatch one by one on {one.name}, against the same sent bare"
        goals.append(Goal(f"dispatch-{one.engine}", work, SHARE, share, "%"))
        key, work = f"dispatch-many-{one.engine}", f"`dispatch_many` on {one.name}"
        if isnan(copied):
            goals.append(Goal(key, work, RATES[one.engine], many, "/s"))
        else:
            work += ", 10,000 in one call, against COPY of the same rows"
            goals.append(Goal(key, work, COPY_SHARE, copied, "%"))
    return [Outcome("Dispatch", HEADER, rows, goals, None, TEXT)]
