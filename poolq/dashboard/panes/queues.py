"""All queues of the namespace."""

from poolq.dashboard.drawing.gauges import (
    DETAIL_ROOM,
    VALUES_PER_MINUTE,
    labelled,
    peak,
    spark,
)
from poolq.dashboard.drawing.table import Cell, DrawContext, Pane, PaneColumn, Sort
from poolq.dashboard.drawing.theme import PLAIN
from poolq.monitor import amounts
from poolq.monitor.alerts import waiting
from poolq.monitor.snapshot import QueueView

SPARK_WIDTH, SPARK_VALUES = 15, VALUES_PER_MINUTE // 2


def _failed(queue: QueueView, context: DrawContext) -> Cell:
    return amounts.count(queue.failed), context.theme.bad if queue.failed else PLAIN


def _parked(queue: QueueView, context: DrawContext) -> Cell:
    return amounts.count(queue.parked), context.theme.warn if queue.parked else PLAIN


def _state(queue: QueueView, context: DrawContext) -> Cell:
    if queue.paused:
        return "PAUSED", context.theme.warn
    return ("UNSERVED", context.theme.bad) if _unserved(queue) else ("open", context.theme.dim)


def _unserved(queue: QueueView) -> bool:
    return not queue.served and waiting(queue) > 0


def _severity(queue: QueueView) -> str:
    return "bad" if _unserved(queue) else "warn" if queue.parked or queue.paused else ""


def _spark(queue: QueueView, context: DrawContext) -> Cell:
    most = amounts.count(peak(queue.spark, SPARK_WIDTH, SPARK_VALUES))
    text = spark(queue.spark, SPARK_WIDTH, context.theme, SPARK_VALUES)
    return f"{text} {most:>5}", context.theme.accent


def _fields(queue: QueueView, context: DrawContext) -> list[tuple[str, Cell]]:
    counts = (
        f"{queue.ready} ready, {queue.delayed} delayed, {queue.parked} parked, "
        f"{queue.running} running, {queue.failed} failed"
    )
    theme = context.theme
    pace = f"{amounts.rate(queue.incoming)} in, {amounts.rate(queue.outgoing)} out a second"
    return [
        ("queue", queue.queue),
        ("state", _state(queue, context)),
        ("jobs", counts),
        ("oldest", f"ready for {amounts.span(queue.oldest)}"),
        ("pace", pace),
        ("empty in", amounts.span(queue.empty_in)),
        ("ready", (labelled(queue.spark, DETAIL_ROOM, theme, SPARK_VALUES), theme.accent)),
    ]


QUEUES_PANE = Pane(
    "queues",
    (
        PaneColumn("", 10, lambda one, _: one.queue, most=24, untrusted=True),
        PaneColumn("STATE", 8, _state, rank=1),
        PaneColumn("READY", 5, lambda one, _: amounts.count(one.ready), right=True),
        PaneColumn("DELAYED", 7, lambda one, _: amounts.count(one.delayed), rank=4, right=True),
        PaneColumn("PARKED", 6, _parked, rank=1, right=True),
        PaneColumn("RUNNING", 7, lambda one, _: amounts.count(one.running), rank=5, right=True),
        PaneColumn("FAILED", 6, _failed, rank=1, right=True),
        PaneColumn("OLDEST", 6, lambda one, _: amounts.span(one.oldest), rank=1, right=True),
        PaneColumn("IN/S", 5, lambda one, _: amounts.rate(one.incoming), rank=2, right=True),
        PaneColumn("OUT/S", 5, lambda one, _: amounts.rate(one.outgoing), rank=2, right=True),
        PaneColumn("EMPTY IN", 8, lambda one, _: amounts.span(one.empty_in), rank=3, right=True),
        PaneColumn("READY, 60 S      MAX", SPARK_WIDTH + 6, _spark, rank=3, right=True),
    ),
    rows=lambda snapshot: snapshot.queues,
    key=lambda one: one.queue,
    words=lambda one: f"{one.queue} {'paused' * one.paused} {'unserved' * _unserved(one)}",
    fields=_fields,
    empty="no queue is known yet",
    severity=_severity,
    usual=lambda one: (-one.ready - one.delayed - one.parked - one.running, one.queue),
    left_out=lambda context: context.snapshot.left_out,
    timeless=True,
    sorts={
        "": Sort(lambda one: one.queue, descending=False),
        "READY": Sort(lambda one: one.ready),
        "DELAYED": Sort(lambda one: one.delayed),
        "PARKED": Sort(lambda one: one.parked),
        "RUNNING": Sort(lambda one: one.running),
        "FAILED": Sort(lambda one: one.failed),
        "OLDEST": Sort(lambda one: one.oldest),
        "IN/S": Sort(lambda one: one.incoming),
        "OUT/S": Sort(lambda one: one.outgoing),
        "EMPTY IN": Sort(lambda one: one.empty_in),
    },
)
