"""Rate limits: why jobs wait, how many of them start, and until when."""

from collections.abc import Sequence

from poolq.dashboard.drawing.gauges import MINUTE, bar, spark
from poolq.dashboard.drawing.table import Cell, Column, Pane, Scene
from poolq.dashboard.drawing.theme import PLAIN
from poolq.monitor import amounts
from poolq.monitor.alerts import pace, rule
from poolq.monitor.limit_status import FULL, HOLDS_BACK, IDLE
from poolq.monitor.snapshot import LimitStatus, Snapshot

GAUGE, SPARK = 6, 15
WORDS = {HOLDS_BACK: "HOLDS BACK"}


def _state(limit: LimitStatus, scene: Scene) -> Cell:
    look = scene.look
    style = {HOLDS_BACK: look.warn, FULL: PLAIN, IDLE: look.dim}.get(limit.state, look.good)
    return WORDS.get(limit.state, limit.state), style


def _starts(limit: LimitStatus, scene: Scene) -> Cell:
    text = f"{pace(limit.starts)}/{pace(limit.allowed)}"
    return text, scene.look.good if limit.starts else scene.look.dim


def _used(limit: LimitStatus, scene: Scene) -> Cell:
    text = f"{amounts.count(limit.used)}/{amounts.count(limit.limit)}"
    style = scene.look.warn if limit.next_slot else scene.look.good
    return f"{bar(limit.used, limit.limit, GAUGE, scene.look)} {text}", style


def _next(limit: LimitStatus, scene: Scene) -> Cell:
    if limit.next_slot <= 0:
        return "now", scene.look.good
    due = amounts.moment(scene.snapshot.at + limit.next_slot, scene.snapshot.at)
    return f"{due} in {amounts.span(limit.next_slot)}", scene.look.warn


def _empty(limit: LimitStatus, scene: Scene) -> Cell:
    if limit.grows:
        return "grows", scene.look.warn
    if limit.empty_in is None:
        return amounts.NONE
    return amounts.moment(scene.snapshot.at + limit.empty_in, scene.snapshot.at)


def _waiting(limit: LimitStatus, scene: Scene) -> Cell:
    return amounts.count(limit.waiting), scene.look.warn if limit.waiting else PLAIN


def _tries(limit: LimitStatus, scene: Scene) -> Cell:
    return amounts.count(limit.last_tries), scene.look.bad if limit.last_tries else PLAIN


def _spark(limit: LimitStatus, scene: Scene, width: int = SPARK) -> Cell:
    return spark(limit.spark, width, scene.look, MINUTE // 2 - 1), scene.look.warn


def _any_tries(limits: Sequence[LimitStatus]) -> bool:
    return any(limit.last_tries for limit in limits)


def _any_held(limits: Sequence[LimitStatus]) -> bool:
    return any(any(limit.spark) for limit in limits)


def _fields(limit: LimitStatus, scene: Scene) -> list[tuple[str, Cell]]:
    empty = _empty(limit, scene)
    when = empty if isinstance(empty, str) else empty[0]
    fields: list[tuple[str, Cell]] = [
        ("limit", limit.key),
        ("allows", f"{rule(limit)}: {limit.limit} starts in a window"),
        ("state", _state(limit, scene)),
        ("starts", f"{pace(limit.starts)} a second, of {pace(limit.allowed)} allowed"),
        ("used", _used(limit, scene)),
        ("window ends", f"in {amounts.span(limit.resets_in)}"),
        ("waiting", f"{limit.waiting} jobs: {limit.parked} parked, {limit.released} released"),
        ("next slot", _next(limit, scene)),
        ("empty", f"about {when}" if limit.waiting else amounts.NONE),
        ("put off", f"{amounts.rate(limit.held)} a minute by this pool"),
        ("last 60 s", _spark(limit, scene, 60)),
    ]
    if limit.last_tries:
        fields.append(("run out", (f"{limit.last_tries} with one attempt left", scene.look.bad)))
    return fields


def _rows(snapshot: Snapshot) -> Sequence[LimitStatus]:
    return snapshot.limits


LIMITS = Pane(
    "limits",
    (
        Column("", 12, lambda one, _: one.key, most=30, foreign=True, ending=True),
        Column("STATE", 10, _state, rank=2),
        Column("STARTS/S", 13, _starts, rank=1, most=15),
        Column("WAIT", 5, _waiting, right=True),
        Column("NEXT SLOT", 17, _next),
        Column("EMPTY ABOUT", 12, _empty, rank=2),
        Column("1 TRY", 5, _tries, rank=2, right=True, wanted=_any_tries),
        Column("USED", 14, _used, rank=4),
        Column("PER", 6, lambda one, _: amounts.whole(one.window), rank=4, right=True),
        Column("PUT OFF/MIN", 11, lambda one, _: amounts.rate(one.held), rank=5, right=True),
        Column("PUT OFF, 60 S", SPARK, _spark, rank=3, right=True, wanted=_any_held),
    ),
    rows=_rows,
    key=lambda one: f"{one.key} {one.window}",
    words=lambda one: f"{one.key} {one.state}",
    fields=_fields,
    empty="no rate limit was used within a minute",
    trouble=lambda one: "warn" if one.holds_back else "",
)
