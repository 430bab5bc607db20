"""Every pool of the namespace, here and on other hosts."""

from poolq.dashboard.drawing.table import Cell, DrawContext, Pane, PaneColumn, Sort
from poolq.dashboard.drawing.theme import PLAIN
from poolq.monitor import amounts
from poolq.monitor.snapshot import NodeView

SILENT_SECONDS = 10.0  # seconds without a heartbeat


def _name(node: NodeView, context: DrawContext) -> Cell:
    return f"{node.pool}@{node.host}", context.theme.strong if node.here else PLAIN


def _beat(node: NodeView, context: DrawContext) -> Cell:
    return amounts.span(node.beat), context.theme.warn if _silent(node) else PLAIN


def _busy(node: NodeView, _: DrawContext) -> Cell:
    return amounts.DASH if node.busy is None else str(node.busy)


def _silent(node: NodeView) -> bool:
    return node.beat is not None and node.beat > SILENT_SECONDS


def _fields(node: NodeView, context: DrawContext) -> list[tuple[str, Cell]]:
    return [
        ("pool", f"{node.pool}{', this pool' * node.here}"),
        ("host", node.host),
        ("node", node.node),
        ("workers", f"{node.workers}, {_busy(node, context)} busy"),
        ("queues", "all" if node.queues is None else ", ".join(node.queues)),
        ("heard", f"{amounts.span(node.beat)} ago"),
        ("versions", f"poolq {node.poolq or '-'}, Python {node.python or '-'}"),
    ]


NODES_PANE = Pane(
    "nodes",
    (
        PaneColumn("", 12, _name, most=40, untrusted=True),
        PaneColumn("WORKERS", 7, lambda one, _: str(one.workers), right=True),
        PaneColumn("BUSY", 5, _busy, right=True),
        PaneColumn("HEARD", 6, _beat, rank=1, right=True),
        PaneColumn("POOLQ", 8, lambda one, _: one.poolq, rank=2, most=12, untrusted=True),
        PaneColumn("PYTHON", 8, lambda one, _: one.python, rank=2, untrusted=True),
        PaneColumn("NODE", 12, lambda one, _: one.node, rank=3, most=32, untrusted=True),
    ),
    rows=lambda snapshot: snapshot.nodes,
    key=lambda one: one.node,
    words=lambda one: f"{one.pool} {one.host} {one.node}",
    fields=_fields,
    empty="no node is known yet",
    severity=lambda one: "warn" if _silent(one) else "",
    sorts={
        "": Sort(lambda one: f"{one.pool}@{one.host}", descending=False),
        "WORKERS": Sort(lambda one: one.workers),
        "BUSY": Sort(lambda one: one.busy),
        "HEARD": Sort(lambda one: one.beat),
        "POOLQ": Sort(lambda one: one.poolq, descending=False),
    },
)
