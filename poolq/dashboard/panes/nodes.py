"""Every pool of the namespace, here and on other hosts."""

from collections.abc import Sequence

from poolq.dashboard.drawing.table import Cell, Column, Pane, Scene
from poolq.dashboard.drawing.theme import PLAIN
from poolq.monitor import amounts
from poolq.monitor.snapshot import NodeView, Snapshot

SILENT = 10.0  # seconds without a beat


def _name(node: NodeView, scene: Scene) -> Cell:
    return f"{node.pool}@{node.host}", scene.look.strong if node.here else PLAIN


def _beat(node: NodeView, scene: Scene) -> Cell:
    return amounts.span(node.beat), scene.look.warn if _silent(node) else PLAIN


def _busy(node: NodeView, _: Scene) -> Cell:
    return amounts.NONE if node.busy is None else str(node.busy)


def _silent(node: NodeView) -> bool:
    return node.beat is not None and node.beat > SILENT


def _fields(node: NodeView, scene: Scene) -> list[tuple[str, Cell]]:
    return [
        ("pool", f"{node.pool}{', which you look at' * node.here}"),
        ("host", node.host),
        ("node", node.node),
        ("workers", f"{node.workers}, {_busy(node, scene)} busy"),
        ("queues", "all" if node.queues is None else ", ".join(node.queues)),
        ("heard", f"{amounts.span(node.beat)} ago"),
        ("versions", f"poolq {node.poolq or '-'}, Python {node.python or '-'}"),
    ]


def _rows(snapshot: Snapshot) -> Sequence[NodeView]:
    return snapshot.nodes


NODES = Pane(
    "nodes",
    (
        Column("", 12, _name, most=40, foreign=True),
        Column("WORKERS", 7, lambda one, _: str(one.workers), right=True),
        Column("BUSY", 5, _busy, right=True),
        Column("HEARD", 6, _beat, rank=1, right=True),
        Column("POOLQ", 8, lambda one, _: one.poolq, rank=2, most=12, foreign=True),
        Column("PYTHON", 8, lambda one, _: one.python, rank=2, foreign=True),
        Column("NODE", 12, lambda one, _: one.node, rank=3, most=32, foreign=True),
    ),
    rows=_rows,
    key=lambda one: one.node,
    words=lambda one: f"{one.pool} {one.host} {one.node}",
    fields=_fields,
    empty="no node is known yet",
    trouble=lambda one: "warn" if _silent(one) else "",
)
