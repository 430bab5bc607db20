"""The progress that heartbeats publish: that of the jobs that run now."""

from __future__ import annotations

from poolq.keeper.job_progress import read_progress
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import Phase
from poolq.scoreboard.worker_row import text


def test_only_running_jobs_that_report_progress_are_published() -> None:
    scores, rows = Scoreboard(2), []
    for at in range(2):
        assert scores.allocate(at + 1, slot=at + 1, generation=1) == at
        rows.append(scores.worker_row(at))
        rows[at].set_phase(Phase.BUSY)
        rows[at].set_claims(1)
        rows[at].start(0, text(f"job{at}", "q", "j"), at + 1)
    row = rows[0]
    assert read_progress(scores) == {}
    row.set_progress(1, 2, "half")
    row.set_progress(2, 2, "all")
    assert read_progress(scores) == {"job0": (2, 2, "all")}
    row.set_finished(0)
    assert read_progress(scores) == {}
    row.start(1, text("next", "q", "j"), 9)
    assert read_progress(scores) == {}, "it has reported nothing yet"
    row.set_progress(5, 0, "")
    assert read_progress(scores) == {"next": (5, 0, "")}
