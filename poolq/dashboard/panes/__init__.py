"""The panes of the screen, in the order of the tab key."""

from poolq.dashboard.drawing.table import Pane
from poolq.dashboard.panes.history import EVENTS_PANE, FAILURES_PANE, KINDS_PANE
from poolq.dashboard.panes.limits import LIMITS_PANE
from poolq.dashboard.panes.namespace import NODES_PANE, QUEUES_PANE, SCHEDULES_PANE
from poolq.dashboard.panes.workers import WORKERS_PANE

PANES: dict[str, Pane] = {
    pane.name: pane
    for pane in (
        WORKERS_PANE, QUEUES_PANE, LIMITS_PANE, FAILURES_PANE, EVENTS_PANE, SCHEDULES_PANE,
        KINDS_PANE, NODES_PANE,
    )
}  # fmt: skip
