"""The kinds of jobs that this pool has run: what takes the most time, what is slow, what fails."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Pane
from poolq.dashboard.panes.columns import number, text
from poolq.monitor import amounts
from poolq.monitor.snapshot import JobKindView


def _fields(kind: JobKindView, _: DrawContext) -> list[tuple[str, Cell]]:
    counts = (
        f"{kind.done} done, {kind.failed} failed, {kind.retried} retried, "
        f"held back {kind.limited} times, since the pool began"
    )
    durations = f"usually {amounts.span(kind.usual)}, 95 % within {amounts.span(kind.p95)}"
    share = f"{amounts.span(kind.seconds)}, {kind.share * 100:.0f}% of all jobs' time"
    return [
        ("job", kind.job),
        ("jobs", counts),
        ("pace", f"{amounts.rate(kind.per_second)} a second"),
        ("takes", durations),
        ("time", share),
    ]


KINDS_PANE = Pane(
    "kinds",
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
    rows=lambda snapshot: snapshot.kinds,
    key=lambda one: one.job,
    words=lambda one: one.job,
    fields=_fields,
    empty="no job has run yet",
)
