"""The numbers of the last runs, in a marked block of docs/guarantees.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.chaos.run import Report

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
BEGIN, END = "<!-- chaos: begin, written by make chaos -->", "<!-- chaos: end -->"


def shown(report: Report) -> str:
    """A run on one line, for the terminal."""
    verdict = report.verdict
    return (
        f"  {verdict.jobs} jobs, {verdict.starts} starts, {sum(report.faults.values())} faults"
        f" ({report.missed} without a victim), {verdict.doubles} doubles, {verdict.stale} stale"
        f" refused, {verdict.lost_by_broker} touched by writes that the broker lost,"
        f" drained in {report.drained:.1f} s; {report.note}"
    )


def table(reports: Sequence[Report]) -> str:
    """The block's text: a table of runs, then the faults by kind."""
    rows = [
        "| engine | seconds | seed | jobs | faults | ended twice | stale, refused | lost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in reports:
        verdict = one.verdict
        lost = "0" if one.engine != "sentinel" else f"0 (Redis itself: {verdict.lost_by_broker})"
        rows.append(
            f"| {one.engine} | {one.seconds:g} | {one.seed} | {verdict.jobs} |"
            f" {sum(one.faults.values())} | {verdict.doubles} | {verdict.stale} | {lost} |"
        )
    kinds = sorted({kind for one in reports for kind in one.faults})
    rows += ["", f"| fault | {' | '.join(one.engine for one in reports)} |"]
    rows.append("|---" * (len(reports) + 1) + "|")
    for kind in kinds:
        rows.append(f"| {kind} | {' | '.join(str(one.faults[kind]) for one in reports)} |")
    notes = [f"{one.engine}: {one.note}." for one in reports if one.note]
    return "\n".join([*rows, "", *notes])


def publish(reports: Sequence[Report], page: Path = PAGE) -> None:
    """Rewrite the block; all else stays."""
    text = page.read_text("utf-8")
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise AssertionError(f"{page} has no block for the numbers: {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n{table(reports)}\n{END}{after}", "utf-8")
