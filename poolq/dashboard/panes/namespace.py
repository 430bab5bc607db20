"""The panes about the namespace: the queues and schedules, which all its pools share, and its pools
on all hosts."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Fields, Pane, PaneColumn, Sort, rising
from poolq.dashboard.panes.columns import number, sparkline, state, text
from poolq.monitor import amounts
from poolq.monitor.alerts import waiting
from poolq.monitor.schedule_status import PROBLEMS, ScheduleStatus
from poolq.monitor.snapshot import NodeView, QueueView

#: The word and the style of a state.
QUEUE_STATES = {"PAUSED": ("PAUSED", "warn"), "UNSERVED": ("UNSERVED", "bad")}


def _queue_state(queue: QueueView) -> str:
    return "PAUSED" if queue.paused else "UNSERVED" if _unserved(queue) else "open"


def _unserved(queue: QueueView) -> bool:
    return not queue.served and waiting(queue) > 0


def _queue_severity(queue: QueueView) -> str:
    return "bad" if _unserved(queue) else "warn" if queue.parked or queue.paused else ""


QUEUES_PANE = Pane(
    "queues",
    "queue",
    (
        text("", 10, "queue", most=24),
        state("STATE", 8, _queue_state, QUEUE_STATES, "dim", rank=1),
        number("READY", 5, "ready"),
        number("DELAYED", 7, "delayed", rank=4),
        number("PARKED", 6, "parked", rank=1, style="warn"),
        number("RUNNING", 7, "running", rank=5),
        number("FAILED", 6, "failed", rank=1, style="bad"),
        number("OLDEST", 6, "oldest", amounts.span, rank=1),
        number("IN/S", 5, "incoming", amounts.rate, rank=2),
        number("OUT/S", 5, "outgoing", amounts.rate, rank=2),
        number("EMPTY IN", 8, "empty_in", amounts.span, rank=3),
        sparkline("READY, 60 S      MAX", "accent"),
    ),
    rows=lambda snapshot, _: snapshot.queues,
    key=lambda one: one.queue,
    words=lambda one: f"{one.queue} {'paused' * one.paused} {'unserved' * _unserved(one)}",
    empty="no queue is known yet",
    severity=_queue_severity,
    usual=lambda one: (-one.ready - one.delayed - one.parked - one.running, one.queue),
    left_out=lambda context: context.snapshot.left_out,
)


# schedules


#: The word and the style of a state.
SCHEDULE_STATES = {
    "late": ("LATE", "bad"), "paused": ("PAUSED", "warn"), "unreadable": ("UNREADABLE", "bad"),
    "active": ("active", "good"), "waiting": ("waiting", ""), "undeclared": ("undeclared", "dim"),
}  # fmt: skip


def _next_run(one: ScheduleStatus, context: DrawContext) -> Cell:
    if not one.next:
        return amounts.DASH
    now, at = context.snapshot.at, one.next / 1e6
    if at <= now:
        return "now", context.theme.bad if one.late else context.theme.good
    return f"{amounts.moment(at, now)} in {amounts.span(at - now)}"


def _last_run(one: ScheduleStatus, context: DrawContext) -> Cell:
    now = context.snapshot.at
    return amounts.moment(one.last / 1e6, now) if one.last else amounts.DASH


def _when(one: ScheduleStatus, _: DrawContext) -> Cell:
    return f"{one.when} {one.tz}".rstrip()


def _of_schedule(one: ScheduleStatus, _: DrawContext) -> Fields:
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
        PaneColumn("NEXT RUN", 18, _next_run, most=23, sort=rising(lambda one: one.next or None)),
        state("STATE", 10, "state", SCHEDULE_STATES, "bad", rank=1),
        PaneColumn("WHEN", 11, _when, rank=2, most=32),
        PaneColumn("LAST RUN", 12, _last_run, rank=3, sort=Sort(lambda one: one.last)),
        number("JOBS", 5, "ticks", rank=4),
    ),
    rows=lambda snapshot, _: snapshot.schedules,
    key=lambda one: one.name,
    words=lambda one: f"{one.name} {one.job} {one.state}",
    empty="no job is periodic",
    more=_of_schedule,
    severity=lambda one: PROBLEMS.get(one.state, ""),
)


# pools


SILENT_SECONDS = 10.0  # seconds without a heartbeat


def _busy(count: int | None) -> str:
    return amounts.DASH if count is None else str(count)


def _silent(node: NodeView) -> bool:
    return node.beat is not None and node.beat > SILENT_SECONDS


def _served(node: NodeView, _: DrawContext) -> Fields:
    return [("queues", "all" if node.queues is None else ", ".join(node.queues))]


NODES_PANE = Pane(
    "nodes",
    "pool",
    (
        text(
            "",
            12,
            lambda one: f"{one.pool}@{one.host}",
            most=40,
            style=("strong", lambda one: one.here),
        ),
        number("WORKERS", 7, "workers", str),
        number("BUSY", 5, "busy", _busy),
        number("HEARD", 6, "beat", amounts.span, rank=1, style=("warn", _silent)),
        text("POOLQ", 8, "poolq", rank=2, most=12),
        text("PYTHON", 8, "python", rank=2, sorts=False),
        text("NODE", 12, "node", rank=3, most=32, sorts=False),
    ),
    rows=lambda snapshot, _: snapshot.nodes,
    key=lambda one: one.node,
    words=lambda one: f"{one.pool} {one.host} {one.node}",
    empty="no node is known yet",
    more=_served,
    severity=lambda one: "warn" if _silent(one) else "",
)
