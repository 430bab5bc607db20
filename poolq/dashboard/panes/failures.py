"""The jobs that failed last, with their errors."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Pane, PaneColumn, Sort
from poolq.dashboard.job_list import MAX_STORED_FAILURES
from poolq.monitor import amounts, tracebacks
from poolq.monitor.snapshot import FailureView


def _at(failure: FailureView, context: DrawContext) -> Cell:
    return amounts.moment(failure.at, context.snapshot.at), context.theme.dim


def _error(failure: FailureView, context: DrawContext) -> Cell:
    return failure.error, context.theme.bad


def _fields(failure: FailureView, context: DrawContext) -> list[tuple[str, Cell]]:
    """Return the fields until the job is fetched, in the order of `jobs.fields`."""
    attempt = f", in attempt {failure.attempt}" if failure.attempt else ""
    raised_at = tracebacks.location(failure.traceback)
    return [
        ("error", (failure.error, context.theme.bad)),
        *([("raised at", raised_at)] if raised_at else []),
        ("job", failure.job),
        ("id", failure.id),
        ("queue", failure.queue),
        ("state", (f"failed {_at(failure, context)[0]}{attempt}", context.theme.bad)),
    ]


def _left_out(context: DrawContext) -> int:
    """Return how many failed jobs the engine stores beyond those that the screen has fetched."""
    snapshot = context.snapshot
    shown = len(snapshot.failures)
    stored = sum(queue.failed for queue in snapshot.queues)
    return max(0, stored - shown) if shown >= MAX_STORED_FAILURES else 0


FAILURES_PANE = Pane(
    "failures",
    (
        PaneColumn("", 12, _at),
        PaneColumn("JOB", 10, lambda one, _: one.job, most=30, untrusted=True, is_job_name=True),
        PaneColumn("QUEUE", 8, lambda one, _: one.queue, rank=2, most=10, untrusted=True),
        PaneColumn("TRY", 3, lambda one, _: str(one.attempt or "-"), rank=2, right=True),
        PaneColumn("ID", 32, lambda one, _: one.id, rank=9, untrusted=True),
        PaneColumn("ERROR", 30, _error, most=400, untrusted=True),
    ),
    rows=lambda snapshot: snapshot.failures,
    key=lambda one: one.id,
    words=lambda one: f"{one.job} {one.queue} {one.id} {one.error}",
    fields=_fields,
    empty="no job has failed",
    left_out=_left_out,
    sorts={
        "": Sort(lambda one: one.at),
        "JOB": Sort(lambda one: one.job, descending=False),
        "QUEUE": Sort(lambda one: one.queue, descending=False),
        "TRY": Sort(lambda one: one.attempt),
        "ERROR": Sort(lambda one: one.error, descending=False),
    },
)
