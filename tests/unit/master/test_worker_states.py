"""The states of a worker: one table, which docs/design.md shows; what it does not have raises."""

from __future__ import annotations

import pytest

from poolq.master.state import (
    WORKER_TRANSITIONS,
    IllegalMove,
    WorkerEvent,
    WorkerProcess,
    WorkerState,
)
from tests.docs.markdown import read


@pytest.mark.parametrize("state", WorkerState)
@pytest.mark.parametrize("event", WorkerEvent)
def test_every_move_is_in_the_table_or_raises(state: WorkerState, event: WorkerEvent) -> None:
    proc = WorkerProcess(1, 4711, 1, 0.0, state=state)
    after = WORKER_TRANSITIONS[state].get(event)
    if after is None:
        with pytest.raises(IllegalMove, match=rf"{event.name} is impossible in state {state.name}"):
            proc.move(event)
        after = state
    else:
        proc.move(event)
    assert proc.state is after


def test_a_worker_that_was_reaped_has_no_further_moves() -> None:
    assert set(WORKER_TRANSITIONS) == set(WorkerState)
    assert [state for state, moves in WORKER_TRANSITIONS.items() if not moves] == [WorkerState.GONE]


def test_the_design_page_shows_the_table() -> None:
    rows = ["| |" + "".join(f" {event.name} |" for event in WorkerEvent)]
    rows.append("|---|" + "---|" * len(WorkerEvent))
    for state, moves in WORKER_TRANSITIONS.items():
        cells = [moves[event].name if event in moves else "" for event in WorkerEvent]
        rows.append(f"| {state.name} |" + "".join(f" {cell} |" for cell in cells))
    table = "\n".join(rows)
    assert table in read("design.md"), f"docs/design.md lacks this table:\n{table}"


@pytest.mark.parametrize(
    "state", [one for one in WorkerState if one not in (WorkerState.FORKING, WorkerState.GONE)]
)
def test_whatever_a_row_tells_of_a_living_worker_is_a_legal_move(state: WorkerState) -> None:
    """A job may overwrite its worker's row, and the master must survive that."""
    proc = WorkerProcess(1, 4711, 1, 0.0, state=state)
    events = {WorkerEvent.IDLE, WorkerEvent.BUSY} | (set() if proc.ready else {WorkerEvent.LOADED})
    assert events <= set(WORKER_TRANSITIONS[state])
