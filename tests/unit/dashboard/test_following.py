"""The key L: the log of a worker or of a job, which stays at its end while it grows."""

from __future__ import annotations

from poolq.dashboard.key_bindings import press
from poolq.dashboard.screen_state import ScreenState
from poolq.log.line_filter import LineFilter
from tests.support import snapshots
from tests.unit.dashboard.frames import screen_text

POOL = snapshots.troubled()


def drawn(state: ScreenState) -> str:
    return screen_text(POOL, (60, 15), state)


def test_the_log_of_the_selected_worker_stays_at_its_end() -> None:
    state = ScreenState(read_only=True)
    press("L", state, POOL, 0.0)
    assert state.detail is not None
    assert state.detail.follows == LineFilter(2)
    state.detail.waits = False
    for lines in (30, 60):
        state.detail.log = "\n".join(f"line {number}" for number in range(lines))
        assert f"line {lines - 1}" in drawn(state)
    press("up", state, POOL, 0.0)
    assert "line 59" not in drawn(state)
    state.detail.log += "\nline 60"
    assert "line 60" not in drawn(state), "it was scrolled up"
    press("end", state, POOL, 0.0)
    assert "line 60" in drawn(state)
    press("wheel up", state, POOL, 0.0)
    assert "line 60" not in drawn(state)


def test_the_log_of_the_job_of_a_row_and_of_no_other_row() -> None:
    state = ScreenState(pane="failures")
    press("L", state, POOL, 0.0)
    assert state.detail is not None
    assert state.detail.follows == LineFilter(job=POOL.failures[0].id)
    state = ScreenState(pane="queues")
    press("L", state, POOL, 0.0)
    assert state.detail is None
    assert "L follows the log of a worker or a job" in state.message
