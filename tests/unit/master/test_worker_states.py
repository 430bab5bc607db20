"""The states of a worker: two tables, which docs/design.md shows; what they do not have raises."""

from __future__ import annotations

from itertools import product

import pytest

from poolq.master.state import (
    SIGNALS,
    WORKER_TRANSITIONS,
    IllegalMove,
    Told,
    WorkerEvent,
    WorkerProcess,
    WorkerState,
)
from tests.docs.markdown import read

OBSERVED = [one for one in WorkerEvent if not one.name.endswith("_SENT")]


@pytest.mark.parametrize(("state", "told"), list(product(WorkerState, Told)))
@pytest.mark.parametrize("event", WorkerEvent)
def test_every_move_is_in_a_table_or_raises(
    state: WorkerState, told: Told, event: WorkerEvent
) -> None:
    proc = WorkerProcess(1, 4711, 1, 0.0, state=state, told=told)
    after = WORKER_TRANSITIONS[state].get(event)
    then, states = SIGNALS.get((told, event), (told, ()))
    if after is None and state not in states:
        with pytest.raises(IllegalMove, match=rf"{event.name} is impossible in state {state.name}"):
            proc.move(event)
        assert (proc.state, proc.told) == (state, told)
    else:
        proc.move(event)
        assert (proc.state, proc.told) == (after or state, then)


def test_a_worker_that_was_reaped_has_no_further_moves() -> None:
    assert set(WORKER_TRANSITIONS) == set(WorkerState)
    assert [state for state, moves in WORKER_TRANSITIONS.items() if not moves] == [WorkerState.GONE]
    assert not any(WorkerState.GONE in states for _, states in SIGNALS.values())


def test_no_worker_is_sent_a_signal_twice_unless_it_is_idle() -> None:
    """It may have missed TERM. KILL cannot be missed."""
    assert SIGNALS[Told.STOP, WorkerEvent.STOP_SENT] == (Told.STOP, (WorkerState.IDLE,))
    assert (Told.KILL, WorkerEvent.KILL_SENT) not in SIGNALS


def test_the_design_page_shows_the_tables() -> None:
    rows = ["| |" + "".join(f" {event.name} |" for event in OBSERVED)]
    rows.append("|---|" + "---|" * len(OBSERVED))
    for state, moves in WORKER_TRANSITIONS.items():
        cells = [moves[event].name if event in moves else "" for event in OBSERVED]
        rows.append(f"| {state.name} |" + "".join(f" {cell} |" for cell in cells))
    signals = ["| told | event | then | in the states |", "|---|---|---|---|"]
    for (told, event), (then, states) in SIGNALS.items():
        names = ", ".join(one.name for one in states)
        signals.append(f"| {told.name} | {event.name} | {then.name} | {names} |")
    for table in ("\n".join(rows), "\n".join(signals)):
        assert table in read("design.md"), f"docs/design.md lacks this table:\n{table}"


@pytest.mark.parametrize(
    "state", [one for one in WorkerState if one not in (WorkerState.FORKING, WorkerState.GONE)]
)
def test_whatever_a_row_tells_of_a_living_worker_is_a_legal_move(state: WorkerState) -> None:
    """A job may overwrite its worker's row, and the master must survive that."""
    proc = WorkerProcess(1, 4711, 1, 0.0, state=state)
    events = {WorkerEvent.IDLE, WorkerEvent.BUSY} | (set() if proc.ready else {WorkerEvent.LOADED})
    assert events <= set(WORKER_TRANSITIONS[state])
