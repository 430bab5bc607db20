"""What the scenarios that drain have in common: their table, and who of the peers is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from benchmarks.bench import Bench
from benchmarks.catalog import Contender
from benchmarks.draining import Drain, middle
from benchmarks.goals import Goal
from benchmarks.report import Bar, Chart
from benchmarks.stats import spread

HEADER = (
    "",
    "jobs/s",
    "spread, %",
    "CPU ms per 1,000: workers",
    "server, draining",
    "enqueued/s",
    "CPU ms per 1,000: producer",
    "server, enqueuing",
    "set-up",
)
NOBODY = ("none could run", nan)
Drains = Mapping[str, Drain]
Runs = Mapping[str, list[Drain]]


def middles(found: Runs) -> dict[str, Drain]:
    """One drain for all of a contender's, by its name."""
    return {name: middle(runs) for name, runs in found.items() if runs}


def rows(bench: Bench, contenders: Sequence[Contender], found: Runs) -> list[list[str | float]]:
    """The table: the fastest first; who could not run is last, with the reason."""
    by_name = {one.name: one for one in contenders}
    drains, told = middles(found), list[list[str | float]]()
    for name in sorted(drains, key=lambda name: -drains[name].rate):
        apart = 100 * spread([run.rate for run in found[name]])
        told.append([name, drains[name].rate, apart, *drains[name][1:], by_name[name].setup])
    empty = [""] * (1 + len(Drain._fields))
    return told + [
        [one.name, *empty, f"could not run: {bench.failures[one.key]}"]
        for one in contenders
        if one.key in bench.failures
    ]


def chart(title: str, drains: Drains) -> Chart:
    ordered = sorted(drains, key=lambda name: -drains[name].rate)
    bars = [Bar(name, drains[name].rate, name.startswith("poolq")) for name in ordered]
    return Chart(title, "jobs/s", bars)


def against(key: str, work: str, own: Drain, bare: Drain, percent: float) -> Goal:
    """That it reaches this share of the bare batch loop."""
    text = f"{work}, against the bare batch loop"
    return Goal(key, text, percent, 100 * own.rate / bare.rate, "%")


def best(drains: Drains) -> tuple[str, float]:
    """The fastest one's name and rate; NaN where there is none."""
    if not drains:
        return NOBODY
    name = max(drains, key=lambda one: drains[one].rate)
    return name, drains[name].rate


def frugal(drains: Drains) -> tuple[str, float]:
    """The most frugal one's name and its workers' CPU; NaN where there is none."""
    if not drains:
        return NOBODY
    name = min(drains, key=lambda one: drains[one].workers)
    return name, drains[name].workers
