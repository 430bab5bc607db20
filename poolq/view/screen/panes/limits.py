"""Rate limits: why jobs wait, and until when."""

from collections.abc import Sequence

from poolq.view.screen import amounts
from poolq.view.screen.gauges import bar
from poolq.view.screen.judging import holds, last_slot, rule
from poolq.view.screen.look import PLAIN
from poolq.view.screen.table import Cell, Column, Pane, Scene
from poolq.view.snapshot import Limit, Snapshot

GAUGE = 6


def _used(limit: Limit, scene: Scene) -> Cell:
    text = f"{amounts.count(limit.used)}/{amounts.count(limit.limit)}"
    style = scene.look.warn if holds(limit) else scene.look.good
    return f"{bar(limit.used, limit.limit, GAUGE, scene.look)} {text}", style


def _state(limit: Limit, scene: Scene) -> Cell:
    return ("EXHAUSTED", scene.look.warn) if holds(limit) else ("open", scene.look.good)


def _next(limit: Limit, scene: Scene) -> Cell:
    if limit.next_slot is None:
        return amounts.NONE
    if limit.next_slot <= 0:
        return "now", scene.look.good
    due = amounts.moment(scene.snapshot.at + limit.next_slot, scene.snapshot.at)
    return f"{due} in {amounts.span(limit.next_slot)}", scene.look.warn


def _last(limit: Limit, scene: Scene) -> Cell:
    last = last_slot(limit) if limit.waiting else None
    return (
        amounts.NONE
        if last is None
        else amounts.moment(scene.snapshot.at + last, scene.snapshot.at)
    )


def _waiting(limit: Limit, scene: Scene) -> Cell:
    return amounts.count(limit.waiting), scene.look.warn if limit.waiting else PLAIN


def _fields(limit: Limit, scene: Scene) -> list[tuple[str, Cell]]:
    return [
        ("limit", limit.key),
        ("allows", f"{rule(limit)}: {limit.limit} starts in a window"),
        ("state", _state(limit, scene)),
        ("used", _used(limit, scene)),
        ("window ends", f"in {amounts.span(limit.resets_in)}"),
        ("waiting", f"{limit.waiting} jobs, {amounts.rate(limit.held)} a minute held back"),
        ("next slot", _next(limit, scene)),
        ("last starts", (f"about {_last(limit, scene)}", PLAIN) if limit.waiting else amounts.NONE),
    ]


def _rows(snapshot: Snapshot) -> Sequence[Limit]:
    return snapshot.limits


def _trouble(limit: Limit) -> str:
    return "warn" if limit.waiting or holds(limit) else ""


LIMITS = Pane(
    "limits",
    (
        Column("", 12, lambda one, _: one.key, most=30, foreign=True, ending=True),
        Column("STATE", 9, _state, rank=2),
        Column("USED", 14, _used, rank=1),
        Column("PER", 6, lambda one, _: amounts.whole(one.window), rank=3, right=True),
        Column("RESETS IN", 9, lambda one, _: amounts.span(one.resets_in), rank=5, right=True),
        Column("HELD/MIN", 8, lambda one, _: amounts.rate(one.held), rank=4, right=True),
        Column("WAIT", 5, _waiting, right=True),
        Column("NEXT SLOT", 17, _next),
        Column("LAST ABOUT", 12, _last, rank=3),
    ),
    rows=_rows,
    key=lambda one: f"{one.key} {one.window}",
    words=lambda one: f"{one.key} {'exhausted' * holds(one)}",
    fields=_fields,
    empty="no rate limit is in use",
    trouble=_trouble,
)
