"""The lists of the screen, in the order in which tab goes through them."""

from poolq.dashboard.drawing.table import Pane
from poolq.dashboard.panes.events import EVENTS
from poolq.dashboard.panes.failures import FAILURES
from poolq.dashboard.panes.limits import LIMITS
from poolq.dashboard.panes.nodes import NODES
from poolq.dashboard.panes.queues import QUEUES
from poolq.dashboard.panes.workers import WORKERS

PANES: dict[str, Pane] = {
    pane.name: pane for pane in (WORKERS, QUEUES, LIMITS, FAILURES, EVENTS, NODES)
}
