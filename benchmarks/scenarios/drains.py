"""What the scenarios that drain have in common: their table, and who of the peers is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.bench import Bench
from benchmarks.catalog import Contender
from benchmarks.draining import Drain
from benchmarks.goals import Goal
from benchmarks.report import Bar, Chart

HEADER = (
    "",
    "jobs/s",
    "workers, CPU ms per 1,000",
    "server",
    "enqueued/s",
    "producer, CPU ms per 1,000",
    "server",
    "set-up",
)
Drains = Mapping[str, Drain]


def rows(bench: Bench, contenders: Sequence[Contender], drains: Drains) -> list[list[str | float]]:
    """The table: the fastest first; who could not run is last, with the reason."""
    by_name = {one.name: one for one in contenders}
    ordered = sorted(drains, key=lambda name: -drains[name].rate)
    told: list[list[str | float]] = [[name, *drains[name], by_name[name].setup] for name in ordered]
    empty = [""] * 6
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
    """The fastest one's name and rate."""
    name = max(drains, key=lambda one: drains[one].rate)
    return name, drains[name].rate


def frugal(drains: Drains) -> tuple[str, float]:
    """The most frugal one's name and its workers' CPU."""
    name = min(drains, key=lambda one: drains[one].workers)
    return name, drains[name].workers
