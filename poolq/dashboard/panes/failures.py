"""The jobs that failed last, with their errors."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Pane
from poolq.dashboard.job_list import MAX_STORED_FAILURES
from poolq.dashboard.panes.columns import moment, number, text
from poolq.monitor import amounts, tracebacks
from poolq.monitor.snapshot import FailureView


def _fields(failure: FailureView, context: DrawContext) -> list[tuple[str, Cell]]:
    """Return the fields until the job is fetched, in the order of `jobs.fields`."""
    attempt = f", in attempt {failure.attempt}" if failure.attempt else ""
    at = amounts.moment(failure.at, context.snapshot.at)
    raised_at = tracebacks.location(failure.traceback)
    return [
        ("error", (failure.error, context.theme.bad)),
        *([("raised at", raised_at)] if raised_at else []),
        ("job", failure.job),
        ("id", failure.id),
        ("queue", failure.queue),
        ("state", (f"failed {at}{attempt}", context.theme.bad)),
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
        moment("", 12, "at"),
        text("JOB", 10, "job", most=30),
        text("QUEUE", 8, "queue", rank=2, most=10),
        number("TRY", 3, "attempt", lambda attempt: str(attempt or "-"), rank=2),
        text("ID", 32, "id", rank=9, sorts=False),
        text("ERROR", 30, "error", most=400, style=lambda _, context: context.theme.bad),
    ),
    rows=lambda snapshot: snapshot.failures,
    key=lambda one: one.id,
    words=lambda one: f"{one.job} {one.queue} {one.id} {one.error}",
    fields=_fields,
    empty="no job has failed",
    left_out=_left_out,
)
