"""What a scenario found, and the page made of all that they found (pure but for `reason`)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from benchmarks.goals import Goal
from benchmarks.tables import number, table

REASONS = Path(__file__).parent / "reasons"


class Bar(NamedTuple):
    """One bar of the plot; `own`: it is poolq's."""

    label: str
    value: float
    own: bool = False


class Chart(NamedTuple):
    title: str
    unit: str
    bars: list[Bar]


class Outcome(NamedTuple):
    """A scenario's result: a table, what must be reached, a part of the plot, and remarks."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    goals: Sequence[Goal] = ()
    chart: Chart | None = None
    text: str = ""


def reason(goal: Goal) -> str:
    """Why it is not reached, from a measured profile; empty when nobody has written it yet."""
    path = REASONS / f"{goal.key}.md"
    return path.read_text("utf-8").strip() if path.exists() else ""


def unfitting(goals: Sequence[Goal]) -> tuple[list[str], list[str]]:
    """Keys of goals that are missed without a reason; of reasons whose goal is not missed."""
    missed = {goal.key for goal in goals if goal.measured and not goal.reached}
    written = {path.stem for path in REASONS.glob("*.md")}
    return sorted(missed - written), sorted(written - missed)


def verdict(goal: Goal) -> list[str | float]:
    """Its row in the table of goals."""
    how = "at most" if goal.most else "at least"
    said = "reached" if goal.reached else f"**not reached** ([why](#{anchor(goal)}))"
    if not goal.measured:
        said = "**not measured**"
    return [
        goal.work,
        f"{how} {number(goal.wanted)} {goal.unit}".strip(),
        f"{number(goal.value)} {goal.unit}".strip(),
        said,
        f"{goal.factor:.2f}" if isfinite(goal.factor) else "",
    ]


def anchor(goal: Goal) -> str:
    return f"why-{goal.key}"


def page(head: str, outcomes: Sequence[Outcome], tail: str) -> str:
    """docs/benchmarks.md."""
    goals = [goal for outcome in outcomes for goal in outcome.goals]
    missed = [goal for goal in goals if goal.measured and not goal.reached]
    reached = f"{sum(goal.reached for goal in goals)} of {len(goals)} goals are reached."
    parts = [head, "## Goals", reached, table(GOALS, [verdict(goal) for goal in goals])]
    parts += ["A factor of 1 means that the goal is just reached, 2 that it is exceeded twofold."]
    if missed:
        parts.append("## What is not reached, and why")
        for goal in missed:
            told = reason(goal) or "No reason is written down yet."
            what = f"{number(goal.value)} {goal.unit}".strip()
            wanted = f"{number(goal.wanted)} {goal.unit}".strip()
            parts.append(f"### Why: {goal.key}")
            parts.append(f"{goal.work}: {what}; the goal is {wanted}.\n\n{told}")
    for outcome in outcomes:
        shown = table(outcome.header, outcome.rows) if outcome.rows else ""
        parts += [f"## {outcome.title}", shown, outcome.text]
    parts.append(tail)
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


GOALS = ("work", "must reach", "measured", "", "factor")
