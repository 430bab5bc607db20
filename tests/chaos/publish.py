"""The numbers of the last runs, in a marked block of docs/guarantees.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.checker import Verdict
from tests.chaos.repeats import CAUSES
from tests.chaos.run import Report

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
BEGIN, END = "<!-- chaos: begin, written by make chaos -->", "<!-- chaos: end -->"


def shown(report: Report) -> str:
    """A run on a few lines, for the terminal."""
    verdict = report.verdict
    words = [
        f"{verdict.jobs} jobs, {verdict.starts} starts, {verdict.failed} failed",
        f"{sum(report.faults.values())} faults ({report.missed} without a victim)",
        f"{verdict.doubles.total()} ran again after their end",
        *(f"{count}: {cause}" for cause, count in verdict.doubles.items()),
        f"{verdict.asked} to be cancelled",
        f"{verdict.ticks} ticks, {verdict.managed} changes of schedules",
        f"{verdict.changes} changes of limits, {verdict.holds} holds",
        f"{verdict.stale} stale settlements refused",
        f"the broker itself lost {verdict.gone} jobs, and the last word on {verdict.behind}",
        f"drained in {report.drained:.1f} s",
    ]
    return "  " + "; ".join(filter(None, [*words, report.note]))


def _found(word: str) -> Callable[[Report], object]:
    """How many violations of this kind."""
    return lambda one: sum(text.startswith(f"{word}:") for text in one.verdict.violations)


def _changes(verdict: Verdict) -> str:
    return f"{verdict.changes}, {verdict.holds}"


ROWS: list[tuple[str, Callable[[Report], object]]] = [
    ("seed", lambda one: one.seed),
    ("seconds of chaos, and to drain", lambda one: f"{one.seconds:g} + {one.drained:.0f}"),
    ("jobs dispatched", lambda one: one.verdict.jobs),
    ("starts", lambda one: one.verdict.starts),
    ("faults", lambda one: one.faults.total()),
    ("**lost**", _found("lost")),
    ("**never started**", _found("never started")),
    ("**ran again after their end, for no injected cause**", _found("double")),
    ("ran again after their end, for an injected cause", lambda one: one.verdict.doubles.total()),
    ("**ended for no cause**", _found("ended")),
    ("running jobs that somebody cancelled", lambda one: one.verdict.asked),
    ("**ran again after they were cancelled**", _found("cancelled")),
    ("stale settlements, refused", lambda one: one.verdict.stale),
    ("discarded", lambda one: one.verdict.counts.get("discarded", 0)),
    ("expired", lambda one: one.verdict.counts.get("expired", 0)),
    ("**ended, or counted, otherwise than their class says**", _found("outcome")),
    ("**counted as ended twice, or not**", _found("settled")),
    ("**limits exceeded**", _found("limit")),
    ("changes of limits, and keys held, by somebody", lambda one: _changes(one.verdict)),
    ("**started under a hold**", _found("hold")),
    ("**over the concurrency**", _found("concurrency")),
    ("ticks of schedules with a job", lambda one: one.verdict.ticks),
    ("changes of schedules by somebody", lambda one: one.verdict.managed),
    ("**tick lost**", _found("tick lost")),
    ("**tick twice**", _found("tick twice")),
    ("**unique keys left over**", _found("unique key left over")),
    ("**processes, keys, rows, files left**", _found("left over")),
    ("jobs that the store lost, in a failover or a rollback", lambda one: one.verdict.gone),
    ("jobs whose last write it lost", lambda one: one.verdict.behind),
]


def table(reports: Sequence[Report]) -> str:
    """The block's text: what came of it, then why jobs ran again."""
    rows = _head("", reports)
    rows += [_row(name, [value(one) for one in reports]) for name, value in ROWS]
    rows += ["", *_head("ran again because", reports)]
    rows += [_row(cause, [one.verdict.doubles[cause] for one in reports]) for cause in CAUSES]
    noted = {note: [one.engine for one in reports if one.note == note] for note in _notes(reports)}
    return "\n".join([*rows, "", *(f"{', '.join(on)}: {note}." for note, on in noted.items())])


def _notes(reports: Sequence[Report]) -> list[str]:
    return list(dict.fromkeys(one.note for one in reports if one.note))


def _head(first: str, reports: Sequence[Report]) -> list[str]:
    return [_row(first, [one.engine for one in reports]), "|---" + "|--:" * len(reports) + "|"]


def _row(first: str, values: Sequence[object]) -> str:
    return f"| {first} | {' | '.join(map(str, values))} |"


def publish(reports: Sequence[Report], page: Path = PAGE) -> None:
    """Rewrite the block; all else stays."""
    text = page.read_text("utf-8")
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise AssertionError(f"{page} has no block for the numbers: {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n{table(reports)}\n{END}{after}", "utf-8")
