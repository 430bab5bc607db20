"""Dispatching unique jobs, against plain ones."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.catalog import NAMES, POOLQ, Contender
from benchmarks.goals import Goal
from benchmarks.report import Outcome

JOBS = {"redis": 10_000, "sqlite": 5000, "mariadb": 2000}
MOST = 1.5
HEADER = ("", "plain/s", "unique/s", "that gave way/s", "cost of a unique one")
TEXT = """Jobs are dispatched one by one from one process, in turns of 100 of each kind. The unique
jobs have keys of their own; those that gave way have a key that another job has. The cost is the
time of a unique dispatch, as a multiple of a plain one's."""


def turn(bench: Bench, one: Contender) -> tuple[float, float, float]:
    bench.place(one.engine).clean()
    words = ["benchmarks.uniqueness", str(bench.scaled(JOBS[one.engine]))]
    found = bench.run(one, words)
    return found["plain"], found["unique"], found["skipped"]


def measure(bench: Bench) -> list[Outcome]:
    contenders = [one._replace(name=NAMES[one.engine]) for one in POOLQ.values()]
    found = bench.interleave(contenders, lambda one: turn(bench, one))
    rows, goals = [], []
    for one in contenders:
        plain, unique, skipped = (median(rates) for rates in zip(*found[one.name], strict=True))
        rows.append([one.name, plain, unique, skipped, plain / unique])
        work = f"dispatch a unique job on {one.name}, against a plain one"
        key = f"unique-{one.engine}"
        goals.append(Goal(key, work, MOST, plain / unique, "times", most=True))
    return [Outcome("Unique jobs", HEADER, rows, goals, None, TEXT)]
