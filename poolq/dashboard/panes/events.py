"""What happened to the pool lately."""

from collections.abc import Sequence

from poolq.dashboard.drawing.table import Cell, Column, Pane, Scene
from poolq.monitor import amounts
from poolq.monitor.snapshot import EventView, Snapshot


def _at(event: EventView, scene: Scene) -> Cell:
    return amounts.moment(event.at, scene.snapshot.at), scene.look.dim


def _text(event: EventView, scene: Scene) -> Cell:
    return event.text, scene.look.level(event.level)


def _fields(event: EventView, scene: Scene) -> list[tuple[str, Cell]]:
    return [
        ("at", _at(event, scene)[0]),
        ("who", event.who),
        ("level", (event.level, scene.look.level(event.level))),
        ("what", event.text),
    ]


def _rows(snapshot: Snapshot) -> Sequence[EventView]:
    return snapshot.events


EVENTS = Pane(
    "events",
    (
        Column("", 12, _at),
        Column("WHO", 9, lambda one, _: one.who, rank=1, most=14, foreign=True),
        Column("WHAT", 16, _text, most=400, foreign=True),
    ),
    rows=_rows,
    key=lambda one: f"{one.at} {one.who} {one.text}",
    words=lambda one: f"{one.level} {one.who} {one.text}",
    fields=_fields,
    empty="nothing has happened yet",
)
