"""The selected row of a pane, the order of its rows, and the keys that act on a row (pure)."""

from typing import Any, NamedTuple

from poolq.dashboard.drawing.table import Pane
from poolq.dashboard.job_list import JobView
from poolq.dashboard.panes import PANES
from poolq.dashboard.panes.jobs import JOBS_PANE
from poolq.dashboard.screen_state import Order, ScreenState
from poolq.engines.search import WAITING
from poolq.monitor.snapshot import FailureView, JobKindView, QueueView, Snapshot, WorkerView


class RowKey(NamedTuple):
    """A key that acts on the selected row, and the word for it in the last line. `changes`: as in
    `KeyHelp`."""

    key: str
    word: str
    changes: bool = True


_ALL_FAILED = RowKey("A", "its failures")
_LOG = RowKey("L", "log", changes=False)
_ON_FAILURE = (
    RowKey("r", "retry"), RowKey("A", "all like it"), RowKey("X", "forget"), RowKey("m", "move"),
    _LOG,
)  # fmt: skip
_ON_WAITING = (RowKey("X", "cancel"), RowKey("m", "move"), _LOG)


def row_keys(row: object) -> tuple[RowKey, ...]:
    """Return the keys that act on a row."""
    match row:
        case WorkerView():
            return (RowKey("K", "kill"), _LOG) if row.id else (_LOG,)
        case QueueView():
            pause = RowKey("p", "resume" if row.paused else "pause")
            return pause, RowKey("X", "purge"), *[_ALL_FAILED] * (row.failed > 0)
        case JobKindView() if row.failed:
            return (_ALL_FAILED,)
        case FailureView():
            return _ON_FAILURE
        case JobView() if row.stored.status == "failed":
            return _ON_FAILURE
        case JobView() if row.stored.status in WAITING:
            return _ON_WAITING
        case JobView() if row.stored.status == "running":
            return RowKey("X", "cancel"), _LOG
        case JobView():
            return (_LOG,)
    return ()


def pane_of(state: ScreenState) -> Pane:
    """Return the pane that has the keys."""
    return PANES[state.pane] if state.jobs is None else JOBS_PANE


def chosen(state: ScreenState, snapshot: Snapshot) -> Any:
    """Return the selected row, or None if there is none."""
    detail = state.detail
    if detail is not None and detail.shows_job and detail.job is not None:
        return detail.job
    pane = pane_of(state) if detail is None else PANES.get(detail.pane, JOBS_PANE)
    if detail is not None:
        return next((row for row in pane.rows(snapshot) if pane.key(row) == detail.key), None)
    rows = pane.shown(snapshot, state)
    return rows[pane.position(rows, state)] if rows else None


def move(by: int, state: ScreenState, snapshot: Snapshot) -> None:
    """Select the row `by` rows below, within the focused pane."""
    pane = pane_of(state)
    rows = pane.shown(snapshot, state)
    if rows:
        at = min(max(0, pane.position(rows, state) + by), len(rows) - 1)
        state.chosen[pane.name] = pane.key(rows[at])


def focus(name: str, state: ScreenState, snapshot: Snapshot) -> None:
    """Give the focus to a pane. The selection stays on its row, even if the row moves."""
    state.pane = name
    move(0, state, snapshot)


def order_by(title: str | None, state: ScreenState) -> str:
    """Sort the focused pane by the column with that title, or not at all (None). If it is sorted by
    this column already, reverse the order. Returns a message."""
    pane = pane_of(state)
    order = state.orders.get(pane.name)
    if title is None:
        state.orders.pop(pane.name, None)
        return f"{pane.name}: in their usual order"
    turned = order is not None and order.column == title
    descending = not order.descending if order and turned else pane.sorts[title].descending
    state.orders[pane.name] = Order(title, descending)
    word = "descending" if descending else "ascending"
    return f"{pane.name}: sorted by {title or 'the first column'}, {word}"


def next_order(state: ScreenState) -> str:
    """Sort the focused pane by its next column; after the last one, do not sort it. Returns a
    message."""
    pane = pane_of(state)
    titles: list[str | None] = [*pane.sorts, None]
    order = state.orders.get(pane.name)
    at = titles.index(order.column) if order else -1
    return order_by(titles[(at + 1) % len(titles)], state)


def reverse_order(state: ScreenState) -> str:
    """Reverse the order of the focused pane, or that of its first column if it is not sorted.
    Returns a message."""
    pane = pane_of(state)
    title, sort = next(iter(pane.sorts.items()))
    order = state.orders.setdefault(pane.name, Order(title, sort.descending))
    return order_by(order.column, state)
