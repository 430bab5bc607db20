"""Every queue of the namespace, on all nodes."""

from collections.abc import Sequence

from poolq.dashboard.drawing.gauges import MINUTE, spark
from poolq.dashboard.drawing.table import Cell, Column, Pane, Scene
from poolq.dashboard.drawing.theme import PLAIN
from poolq.monitor import amounts
from poolq.monitor.alerts import waiting
from poolq.monitor.snapshot import QueueView, Snapshot

SPARK = 15


def _failed(queue: QueueView, scene: Scene) -> Cell:
    return amounts.count(queue.failed), scene.look.bad if queue.failed else PLAIN


def _parked(queue: QueueView, scene: Scene) -> Cell:
    return amounts.count(queue.parked), scene.look.warn if queue.parked else PLAIN


def _state(queue: QueueView, scene: Scene) -> Cell:
    if queue.paused:
        return "PAUSED", scene.look.warn
    return ("UNSERVED", scene.look.bad) if _unserved(queue) else ""


def _unserved(queue: QueueView) -> bool:
    return not queue.served and waiting(queue) > 0


def _trouble(queue: QueueView) -> str:
    return "bad" if _unserved(queue) else "warn" if queue.parked or queue.paused else ""


def _spark(queue: QueueView, scene: Scene, width: int = SPARK) -> Cell:
    return spark(queue.spark, width, scene.look, MINUTE // 2), scene.look.accent


def _has_state(queues: Sequence[QueueView]) -> bool:
    return any(queue.paused or _unserved(queue) for queue in queues)


def _fields(queue: QueueView, scene: Scene) -> list[tuple[str, Cell]]:
    counts = (
        f"{queue.ready} ready, {queue.delayed} delayed, {queue.parked} parked, "
        f"{queue.running} running, {queue.failed} failed"
    )
    pace = f"{amounts.rate(queue.incoming)} in, {amounts.rate(queue.outgoing)} out a second"
    return [
        ("queue", queue.queue),
        ("state", _state(queue, scene) or "open"),
        ("jobs", counts),
        ("oldest", f"ready for {amounts.span(queue.oldest)}"),
        ("pace", pace),
        ("empty in", amounts.span(queue.empty_in)),
        ("ready, 60 s", _spark(queue, scene, 60)),
    ]


def _rows(snapshot: Snapshot) -> Sequence[QueueView]:
    return snapshot.queues


QUEUES = Pane(
    "queues",
    (
        Column("", 10, lambda one, _: one.queue, most=24, foreign=True),
        Column("STATE", 8, _state, wanted=_has_state),
        Column("READY", 6, lambda one, _: amounts.count(one.ready), right=True),
        Column("DELAYED", 7, lambda one, _: amounts.count(one.delayed), rank=2, right=True),
        Column("PARKED", 6, _parked, rank=1, right=True),
        Column("RUNNING", 7, lambda one, _: amounts.count(one.running), rank=2, right=True),
        Column("FAILED", 6, _failed, rank=1, right=True),
        Column("OLDEST", 6, lambda one, _: amounts.span(one.oldest), rank=1, right=True),
        Column("IN/S", 6, lambda one, _: amounts.rate(one.incoming), rank=3, right=True),
        Column("OUT/S", 6, lambda one, _: amounts.rate(one.outgoing), rank=3, right=True),
        Column("EMPTY IN", 8, lambda one, _: amounts.span(one.empty_in), rank=4, right=True),
        Column("READY, 60 S", SPARK, _spark, rank=5, right=True),
    ),
    rows=_rows,
    key=lambda one: one.queue,
    words=lambda one: f"{one.queue} {'paused' * one.paused} {'unserved' * _unserved(one)}",
    fields=_fields,
    empty="no queue is known yet",
    trouble=_trouble,
)
