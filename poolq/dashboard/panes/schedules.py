"""Schedules of periodic jobs: when they run next, and when they ran last."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Fields, Pane, PaneColumn, Sort, rising
from poolq.dashboard.panes.columns import number, state, text
from poolq.monitor import amounts
from poolq.monitor.schedule_status import PROBLEMS, ScheduleStatus

#: The word and the style of a state.
STATES = {
    "late": ("LATE", "bad"), "paused": ("PAUSED", "warn"), "unreadable": ("UNREADABLE", "bad"),
    "active": ("active", "good"), "waiting": ("waiting", ""), "undeclared": ("undeclared", "dim"),
}  # fmt: skip


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


def _more(one: ScheduleStatus, _: DrawContext) -> Fields:
    return [
        ("job", f"{one.job} in queue {one.queue}"),
        ("skipped", f"{one.skipped} ticks"),
        ("from", "code" if one.declared else "poolq schedule add"),
        ("", "'poolq schedule' pauses, resumes and runs schedules"),
    ]


SCHEDULES_PANE = Pane(
    "schedules",
    "schedule",
    (
        text("", 12, "name", most=30),
        PaneColumn("NEXT RUN", 18, _next, most=23, sort=rising(lambda one: one.next or None)),
        state("STATE", 10, "state", STATES, "bad", rank=1),
        PaneColumn("WHEN", 11, _when, rank=2, most=32),
        PaneColumn("LAST RUN", 12, _last, rank=3, sort=Sort(lambda one: one.last)),
        number("JOBS", 5, "ticks", rank=4),
    ),
    rows=lambda snapshot: snapshot.schedules,
    key=lambda one: one.name,
    words=lambda one: f"{one.name} {one.job} {one.state}",
    empty="no job is periodic",
    more=_more,
    severity=lambda one: PROBLEMS.get(one.state, ""),
)
