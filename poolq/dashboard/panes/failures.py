"""The jobs that were given up last, and why."""

from collections.abc import Sequence

from poolq.dashboard.drawing.table import Cell, Column, Pane, Scene
from poolq.monitor import amounts
from poolq.monitor.snapshot import FailureView, Snapshot


def _at(failure: FailureView, scene: Scene) -> Cell:
    return amounts.moment(failure.at, scene.snapshot.at), scene.look.dim


def _error(failure: FailureView, scene: Scene) -> Cell:
    return failure.error, scene.look.bad


def _fields(failure: FailureView, scene: Scene) -> list[tuple[str, Cell]]:
    return [
        ("job", failure.job),
        ("id", failure.id),
        ("queue", failure.queue),
        ("failed", f"{_at(failure, scene)[0]}, in attempt {failure.attempt}"),
        ("error", (failure.error, scene.look.bad)),
    ]


def _rows(snapshot: Snapshot) -> Sequence[FailureView]:
    return snapshot.failures


FAILURES = Pane(
    "failures",
    (
        Column("", 12, _at),
        Column("JOB", 10, lambda one, _: one.job, most=18, foreign=True, ending=True),
        Column("QUEUE", 8, lambda one, _: one.queue, rank=3, most=10, foreign=True),
        Column("TRY", 3, lambda one, _: str(one.attempt or "-"), rank=4, right=True),
        Column("ID", 32, lambda one, _: one.id, rank=9, foreign=True),
        Column("ERROR", 30, _error, most=400, foreign=True),
    ),
    rows=_rows,
    key=lambda one: one.id,
    words=lambda one: f"{one.job} {one.queue} {one.id} {one.error}",
    fields=_fields,
    empty="no job has failed",
)
