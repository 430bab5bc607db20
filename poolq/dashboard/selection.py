"""The selected row of a pane, the order of its rows, and the keys that act on a row (pure)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from poolq.dashboard import questions
from poolq.dashboard.drawing.table import Pane
from poolq.dashboard.job_list import JobView
from poolq.dashboard.panes import PANES
from poolq.dashboard.panes.jobs import JOBS_PANE
from poolq.dashboard.screen_state import (
    Action,
    CommandLine,
    Order,
    Result,
    ScreenState,
)
from poolq.engines.search import WAITING, JobFilter
from poolq.monitor.snapshot import FailureView, JobKindView, QueueView, Snapshot, WorkerView


class RowKey(NamedTuple):
    """A key that acts on the selected row, the word for it in the last line, and its act. `act` is
    None for the key of the log, which changes nothing; `key_bindings.py` handles that key."""

    key: str
    word: str
    act: Callable[[], Result] | None


_LOG = RowKey("L", "log", None)


def row_keys(row: object) -> tuple[RowKey, ...]:
    """Return the keys that act on a row."""
    match row:
        case WorkerView():
            kill = RowKey("K", "kill", lambda: questions.kill(row))
            return (kill, _LOG) if row.id else (_LOG,)
        case QueueView():
            verb = "resume" if row.paused else "pause"
            pause = RowKey("p", verb, lambda: Action(verb, row.queue))
            purge = RowKey("X", "purge", lambda: questions.purge(row))
            return pause, purge, *[_failures(JobFilter(queue=row.queue))] * (row.failed > 0)
        case JobKindView() if row.failed:
            return (_failures(JobFilter(job=row.job)),)
        case FailureView():
            return _job_keys(row, "failed")
        case JobView():
            return _job_keys(row, row.stored.status)
    return ()


def _failures(wanted: JobFilter, word: str = "its failures") -> RowKey:
    return RowKey("A", word, lambda: questions.on_failures(wanted))


def _job_keys(row: FailureView | JobView, status: str) -> tuple[RowKey, ...]:
    """Return the keys that act on a job. If the job has ended, only its log can be shown."""
    verb = "forget" if status == "failed" else "cancel"
    end = RowKey("X", verb, lambda: questions.on_job(verb, row.id, row.job, status))
    move = RowKey("m", "move", lambda: CommandLine(f"job move {row.id} --to="))
    retry = RowKey("r", "retry", lambda: Action("retry", row.id))
    like_it = _failures(JobFilter(job=row.job), "all like it")
    if status == "failed":
        return retry, like_it, end, move, _LOG
    if status in WAITING:
        return end, move, _LOG
    return (end, _LOG) if status == "running" else (_LOG,)


def pane_of(state: ScreenState) -> Pane:
    """Return the focused pane, or the list of jobs if it is open."""
    return PANES[state.pane] if state.jobs is None else JOBS_PANE


def chosen(state: ScreenState, snapshot: Snapshot) -> Any:
    """Return the row that is shown in full, or the selected one; None if there is none."""
    detail = state.detail
    if detail is None:
        pane = pane_of(state)
        rows = pane.shown(snapshot, state)
        return rows[pane.position(rows, state)] if rows else None
    if detail.shows_job and detail.job is not None:
        return detail.job
    return PANES.get(detail.pane, JOBS_PANE).find(snapshot, state, detail.key)


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
    order = state.orders.pop(pane.name, None)
    if title is None:
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
    order, titles = state.orders.get(pane.name), [*pane.sorts, None]
    return order_by(titles[titles.index(order.column) + 1 if order else 0], state)


def reverse_order(state: ScreenState) -> str:
    """Reverse the order of the focused pane. If it is not sorted, sort it by its first column, in
    the reverse of this column's usual order. Returns a message."""
    pane = pane_of(state)
    title, sort = next(iter(pane.sorts.items()))
    return order_by(state.orders.setdefault(pane.name, Order(title, sort.descending)).column, state)
