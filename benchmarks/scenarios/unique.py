"""Dispatching unique jobs, against plain ones."""

from __future__ import annotations

from statistics import fmean as mean

from benchmarks.bench import Bench
from benchmarks.catalog import NAMES, POOLQ, Contender
from benchmarks.goals import Goal
from benchmarks.report import Outcome

JOBS = {"redis": 10_000, "sqlite": 5000, "mariadb": 2000, "postgresql": 2000}
MOST = 1.5
HEADER = ("", "plain/s", "unique/s", "that gave way/s", "cost of a unique one")
TEXT = """Jobs are dispatched from one process, one by one in turns of 100 of each kind, and 500 in
one call. The unique jobs have keys of their own; those that gave way have a key that another job
has. The cost is the time of a unique dispatch, as a multiple of a plain one's, over all turns."""
WAYS = {"one": "", "list": ", 500 in one call"}


def turn(bench: Bench, one: Contender) -> dict[str, dict[str, float]]:
    """Seconds a job, of each way and kind."""
    bench.place(one.engine).clean()
    words = ["benchmarks.uniqueness", str(bench.scaled(JOBS[one.engine]))]
    return bench.run(one, words)


def measure(bench: Bench) -> list[Outcome]:
    contenders = [one._replace(name=NAMES[one.engine]) for one in POOLQ.values()]
    found = bench.interleave(contenders, lambda one: turn(bench, one))
    rows, goals = [], []
    for one in contenders:
        for way, title in WAYS.items():
            kinds = ("plain", "unique", "skipped")
            turns = [way_of[way] for way_of in found[one.name]]
            plain, unique, skipped = (mean(seconds[kind] for seconds in turns) for kind in kinds)
            rows.append([one.name + title, 1 / plain, 1 / unique, 1 / skipped, unique / plain])
            work = f"dispatch a unique job on {one.name}{title}, against a plain one"
            key = f"unique-{one.engine}" if way == "one" else f"unique-list-{one.engine}"
            goals.append(Goal(key, work, MOST, unique / plain, "times", most=True))
    return [Outcome("Unique jobs", HEADER, rows, goals, None, TEXT)]
