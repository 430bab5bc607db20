"""The kinds of jobs that this pool has run: what takes the most time, what is slow, what fails."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Pane, PaneColumn, Sort
from poolq.dashboard.drawing.theme import PLAIN
from poolq.monitor import amounts
from poolq.monitor.snapshot import JobKindView


def _failed(kind: JobKindView, context: DrawContext) -> Cell:
    return amounts.count(kind.failed), context.theme.bad if kind.failed else PLAIN


def _retried(kind: JobKindView, context: DrawContext) -> Cell:
    return amounts.count(kind.retried), context.theme.warn if kind.retried else PLAIN


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
        PaneColumn("", 12, lambda one, _: one.job, most=40, untrusted=True, is_job_name=True),
        PaneColumn("JOBS/S", 6, lambda one, _: amounts.rate(one.per_second), rank=2, right=True),
        PaneColumn("DONE", 6, lambda one, _: amounts.count(one.done), right=True),
        PaneColumn("FAILED", 6, _failed, rank=1, right=True),
        PaneColumn("RETRIED", 7, _retried, rank=3, right=True),
        PaneColumn("HELD", 5, lambda one, _: amounts.count(one.limited), rank=4, right=True),
        PaneColumn("USUAL", 6, lambda one, _: amounts.span(one.usual), right=True),
        PaneColumn("95% IN", 6, lambda one, _: amounts.span(one.p95), rank=1, right=True),
        PaneColumn("TIME", 5, lambda one, _: amounts.share(one.share), rank=1, right=True),
        PaneColumn("IN ALL", 7, lambda one, _: amounts.span(one.seconds), rank=5, right=True),
    ),
    rows=lambda snapshot: snapshot.kinds,
    key=lambda one: one.job,
    words=lambda one: one.job,
    fields=_fields,
    empty="no job has run yet",
    timeless=True,
    sorts={
        "": Sort(lambda one: one.job, descending=False),
        "JOBS/S": Sort(lambda one: one.per_second),
        "DONE": Sort(lambda one: one.done),
        "FAILED": Sort(lambda one: one.failed),
        "RETRIED": Sort(lambda one: one.retried),
        "HELD": Sort(lambda one: one.limited),
        "USUAL": Sort(lambda one: one.usual),
        "95% IN": Sort(lambda one: one.p95),
        "TIME": Sort(lambda one: one.share),
    },
)
