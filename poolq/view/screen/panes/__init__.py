"""The lists of the screen, in the order in which tab goes through them."""

from poolq.view.screen.panes.events import EVENTS
from poolq.view.screen.panes.failures import FAILURES
from poolq.view.screen.panes.limits import LIMITS
from poolq.view.screen.panes.nodes import NODES
from poolq.view.screen.panes.queues import QUEUES
from poolq.view.screen.panes.workers import WORKERS
from poolq.view.screen.table import Pane

PANES: dict[str, Pane] = {
    pane.name: pane for pane in (WORKERS, QUEUES, LIMITS, FAILURES, EVENTS, NODES)
}
