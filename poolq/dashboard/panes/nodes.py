"""Every pool of the namespace, here and on other hosts."""

from poolq.dashboard.drawing.table import DrawContext, Fields, Pane
from poolq.dashboard.panes.columns import number, text
from poolq.monitor import amounts
from poolq.monitor.snapshot import NodeView

SILENT_SECONDS = 10.0  # seconds without a heartbeat


def _busy(count: int | None) -> str:
    return amounts.DASH if count is None else str(count)


def _silent(node: NodeView) -> bool:
    return node.beat is not None and node.beat > SILENT_SECONDS


def _queues(node: NodeView, _: DrawContext) -> Fields:
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
    rows=lambda snapshot: snapshot.nodes,
    key=lambda one: one.node,
    words=lambda one: f"{one.pool} {one.host} {one.node}",
    empty="no node is known yet",
    more=_queues,
    severity=lambda one: "warn" if _silent(one) else "",
)
