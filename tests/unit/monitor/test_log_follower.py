"""Following the log of a job by its name, which printed lines do not contain."""

from __future__ import annotations

import pytest

from poolq.log.events import Finished, Printed
from poolq.log.formats import TextFormat
from poolq.log.line_filter import LineFilter
from poolq.monitor import log_follower
from poolq.monitor.log_follower import LogFollower
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import LOG_LINES_BYTES, Phase
from poolq.scoreboard.recent_lines import RecentLines
from poolq.scoreboard.worker_row import text

WORDS = TextFormat()
SHORT, LONG, OTHER = "01a0" + "0" * 28, "01b0" + "0" * 28, "01c0" + "0" * 28


def printed(id: str, what: str) -> bytes:
    return WORDS.event(0.0, "worker 1", Printed("stdout", what), id)


def done(id: str, job: str) -> bytes:
    return WORDS.event(0.0, "worker 1", Finished(job, id, "q", 1, 0.1))


def words(found: list[str]) -> list[str]:
    return [line[24:].partition(": ")[2].partition(" ")[0] for line in found]


def test_a_running_jobs_lines_come_at_once_and_a_short_jobs_with_its_end() -> None:
    scores = Scoreboard(1)
    log, follower = RecentLines(scores.pages.log_lines), LogFollower(scores, LineFilter(job="Mail"))
    index = scores.allocate(1, slot=1, generation=1)
    assert index is not None
    row = scores.worker_row(index)
    row.set_phase(Phase.BUSY)
    row.start(0, text(LONG, "q", "jobs:Mail"), 1)
    log.add(printed(LONG, "long"))
    assert words(follower.poll()) == ["long"]
    log.add(printed(SHORT, "short") + printed(OTHER, "other") + printed(LONG, "longer"))
    assert follower.poll() == [], "it is not known yet whose the first line is"
    log.add(done(SHORT, "jobs:Mail"))
    assert words(follower.poll()) == ["short"]
    log.add(done(OTHER, "jobs:Bill"))
    assert words(follower.poll()) == ["longer", "done"]
    assert not follower.lost


def test_a_name_that_stays_unknown_delays_others_only_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = Scoreboard(1)
    log, follower = RecentLines(scores.pages.log_lines), LogFollower(scores, LineFilter(job="Mail"))
    log.add(printed(OTHER, "other") + done(SHORT, "jobs:Mail"))
    assert follower.poll() == []
    monkeypatch.setattr(log_follower, "NAME_TIMEOUT", 0.0)
    assert words(follower.poll()) == ["done"]


def test_a_slow_reader_is_told_that_it_has_lost_lines() -> None:
    scores = Scoreboard(1)
    log, follower = RecentLines(scores.pages.log_lines), LogFollower(scores, LineFilter(job=SHORT))
    follower.poll()
    log.add(printed(SHORT, "first"))
    for _ in range(LOG_LINES_BYTES // 100_000 + 1):
        log.add(printed(OTHER, "x" * 100_000))
    log.add(printed(SHORT, "last"))
    assert words(follower.poll()) == ["last"]
    assert follower.lost
