"""The most recent events of the pool."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Pane
from poolq.dashboard.panes.columns import moment, text
from poolq.monitor import amounts
from poolq.monitor.snapshot import EventView


def _fields(event: EventView, context: DrawContext) -> list[tuple[str, Cell]]:
    return [
        ("at", amounts.moment(event.at, context.snapshot.at)),
        ("who", event.who),
        ("level", (event.level, context.theme.level(event.level))),
        ("what", event.text),
    ]


EVENTS_PANE = Pane(
    "events",
    (
        moment("", 12, "at"),
        text("WHO", 9, "who", rank=1, most=14),
        text("WHAT", 16, "text", most=400, style=lambda one, at: at.theme.level(one.level)),
    ),
    rows=lambda snapshot: snapshot.events,
    key=lambda one: f"{one.began} {one.burst or one.text}",
    words=lambda one: f"{one.level} {one.who} {one.text}",
    fields=_fields,
    empty="nothing has happened yet",
)
