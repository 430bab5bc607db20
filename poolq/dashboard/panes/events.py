"""The most recent events of the pool."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Pane, PaneColumn, Sort
from poolq.monitor import amounts
from poolq.monitor.snapshot import EventView


def _at(event: EventView, context: DrawContext) -> Cell:
    return amounts.moment(event.at, context.snapshot.at), context.theme.dim


def _text(event: EventView, context: DrawContext) -> Cell:
    return event.text, context.theme.level(event.level)


def _fields(event: EventView, context: DrawContext) -> list[tuple[str, Cell]]:
    return [
        ("at", _at(event, context)[0]),
        ("who", event.who),
        ("level", (event.level, context.theme.level(event.level))),
        ("what", event.text),
    ]


EVENTS_PANE = Pane(
    "events",
    (
        PaneColumn("", 12, _at),
        PaneColumn("WHO", 9, lambda one, _: one.who, rank=1, most=14, untrusted=True),
        PaneColumn("WHAT", 16, _text, most=400, untrusted=True),
    ),
    rows=lambda snapshot: snapshot.events,
    key=lambda one: f"{one.began} {one.burst or one.text}",
    words=lambda one: f"{one.level} {one.who} {one.text}",
    fields=_fields,
    empty="nothing has happened yet",
    sorts={
        "": Sort(lambda one: one.at),
        "WHO": Sort(lambda one: one.who, descending=False),
        "WHAT": Sort(lambda one: one.text, descending=False),
    },
)
