"""All queues of the namespace."""

from poolq.dashboard.drawing.table import Pane
from poolq.dashboard.panes.columns import number, sparkline, state, text
from poolq.monitor import amounts
from poolq.monitor.alerts import waiting
from poolq.monitor.snapshot import QueueView

#: The word and the style of a state.
STATES = {"PAUSED": ("PAUSED", "warn"), "UNSERVED": ("UNSERVED", "bad")}


def _state(queue: QueueView) -> str:
    return "PAUSED" if queue.paused else "UNSERVED" if _unserved(queue) else "open"


def _unserved(queue: QueueView) -> bool:
    return not queue.served and waiting(queue) > 0


def _severity(queue: QueueView) -> str:
    return "bad" if _unserved(queue) else "warn" if queue.parked or queue.paused else ""


QUEUES_PANE = Pane(
    "queues",
    "queue",
    (
        text("", 10, "queue", most=24),
        state("STATE", 8, _state, STATES, "dim", rank=1),
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
    rows=lambda snapshot: snapshot.queues,
    key=lambda one: one.queue,
    words=lambda one: f"{one.queue} {'paused' * one.paused} {'unserved' * _unserved(one)}",
    empty="no queue is known yet",
    severity=_severity,
    usual=lambda one: (-one.ready - one.delayed - one.parked - one.running, one.queue),
    left_out=lambda context: context.snapshot.left_out,
)
