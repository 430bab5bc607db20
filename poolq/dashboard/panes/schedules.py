"""Schedules of periodic jobs: when they run next, and when they ran last."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Pane, PaneColumn, Sort, rising
from poolq.dashboard.panes.columns import number, text
from poolq.monitor import amounts
from poolq.monitor.schedule_status import PROBLEMS, ScheduleStatus
from poolq.styling.theme import PLAIN

STATE_WORDS = {"late": "LATE", "paused": "PAUSED", "unreadable": "UNREADABLE"}


def _state(one: ScheduleStatus, context: DrawContext) -> Cell:
    theme = context.theme
    style = {"active": theme.good, "waiting": PLAIN, "undeclared": theme.dim, "paused": theme.warn}
    return STATE_WORDS.get(one.state, one.state), style.get(one.state, theme.bad)


def _next(one: ScheduleStatus, context: DrawContext) -> Cell:
    if not one.next:
        return amounts.DASH
    now, at = context.snapshot.at, one.next / 1e6
    if at <= now:
        return "now", context.theme.bad if one.late else context.theme.good
    return f"{amounts.moment(at, now)} in {amounts.span(at - now)}"


def _last(one: ScheduleStatus, context: DrawContext) -> Cell:
    now = context.snapshot.at
    return amounts.moment(one.last / 1e6, now) if one.last else amounts.DASH


def _when(one: ScheduleStatus, _: DrawContext) -> Cell:
    return f"{one.when} {one.tz}".rstrip()


def _fields(one: ScheduleStatus, context: DrawContext) -> list[tuple[str, Cell]]:
    return [
        ("schedule", one.name),
        ("when", _when(one, context)),
        ("job", f"{one.job} in queue {one.queue}"),
        ("from", "code" if one.declared else "poolq schedule add"),
        ("state", _state(one, context)),
        ("next run", _next(one, context)),
        ("last run", _last(one, context)),
        ("jobs", f"{one.ticks} stored, {one.skipped} ticks skipped"),
        ("", "'poolq schedule' pauses, resumes and runs schedules"),
    ]


SCHEDULES_PANE = Pane(
    "schedules",
    (
        text("", 12, "name", most=30),
        PaneColumn("NEXT RUN", 18, _next, most=23, sort=rising(lambda one: one.next or None)),
        PaneColumn("STATE", 10, _state, rank=1, sort=rising(lambda one: one.state)),
        PaneColumn("WHEN", 11, _when, rank=2, most=32, untrusted=True),
        PaneColumn("LAST RUN", 12, _last, rank=3, sort=Sort(lambda one: one.last)),
        number("JOBS", 5, "ticks", rank=4),
    ),
    rows=lambda snapshot: snapshot.schedules,
    key=lambda one: one.name,
    words=lambda one: f"{one.name} {one.job} {one.state}",
    fields=_fields,
    empty="no job is periodic",
    severity=lambda one: PROBLEMS.get(one.state, ""),
)
