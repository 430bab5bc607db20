"""What the pool has done: the jobs that failed last, its latest events, and the kinds of jobs that
it has run: what takes the most time, what is slow, what fails."""

from poolq.dashboard.drawing.table import DrawContext, Fields, Pane
from poolq.dashboard.job_list import MAX_STORED_FAILURES
from poolq.dashboard.panes.columns import moment, number, text
from poolq.monitor import amounts, tracebacks
from poolq.monitor.snapshot import FailureView


def _raised_at(failure: FailureView, _: DrawContext) -> Fields:
    found = tracebacks.location(failure.traceback)
    return [("raised at", found)] if found else []


def _left_out(context: DrawContext) -> int:
    """Return how many failed jobs the engine stores beyond those that the screen has fetched."""
    snapshot = context.snapshot
    shown = len(snapshot.failures)
    stored = sum(queue.failed for queue in snapshot.queues)
    return max(0, stored - shown) if shown >= MAX_STORED_FAILURES else 0


FAILURES_PANE = Pane(
    "failures",
    "failed at",
    (
        moment("", 12, "at"),
        text("JOB", 10, "job", most=30),
        text("QUEUE", 8, "queue", rank=2, most=10),
        number("TRY", 3, "attempt", lambda attempt: str(attempt or "-"), rank=2),
        text("ID", 32, "id", rank=9, sorts=False),
        text("ERROR", 30, "error", most=400, style="bad"),
    ),
    rows=lambda snapshot, _: snapshot.failures,
    key=lambda one: one.id,
    words=lambda one: f"{one.job} {one.queue} {one.id} {one.error}",
    empty="no job has failed",
    more=_raised_at,
    left_out=_left_out,
)
EVENTS_PANE = Pane(
    "events",
    "at",
    (
        moment("", 12, "at"),
        text("WHO", 9, "who", rank=1, most=14),
        text("WHAT", 16, "text", most=400, style=lambda one, at: at.theme.level(one.level)),
    ),
    rows=lambda snapshot, _: snapshot.events,
    key=lambda one: f"{one.began} {one.burst or one.text}",
    words=lambda one: f"{one.level} {one.who} {one.text}",
    empty="nothing has happened yet",
)
KINDS_PANE = Pane(
    "kinds",
    "job",
    (
        text("", 12, "job", most=40),
        number("JOBS/S", 6, "per_second", amounts.rate, rank=2),
        number("DONE", 6, "done"),
        number("FAILED", 6, "failed", rank=1, style="bad"),
        number("RETRIED", 7, "retried", rank=3, style="warn"),
        number("HELD", 5, "limited", rank=4),
        number("USUAL", 6, "usual", amounts.span),
        number("95% IN", 6, "p95", amounts.span, rank=1),
        number("TIME", 5, "share", amounts.share, rank=1),
        number("IN ALL", 7, "seconds", amounts.span, rank=5, sorts=False),
    ),
    rows=lambda snapshot, _: snapshot.kinds,
    key=lambda one: one.job,
    words=lambda one: one.job,
    empty="no job has run yet",
)
