"""What the keeper's observer makes of what the workers count."""

from __future__ import annotations

from pathlib import Path

from poolq.config import Config
from poolq.engines.null import NullEngine
from poolq.pool.observer import Observer
from poolq.pool.scoreboard import Scoreboard
from poolq.worker.notes import Notes
from poolq.worker.row import PARKED


def test_the_first_jobs_that_a_limit_holds_back_count_too() -> None:
    scores, engine = Scoreboard(1), NullEngine("null://", "poolq")
    config = Config(engine="null://", folder=Path("/"))
    observer = Observer(engine, config, scores)
    assert observer._holding() == {}
    index = scores.take(1, 1, 1)
    assert index is not None
    scores.worker(index).count(PARKED, "mails", "Mail", 0.0)
    notes = Notes(scores.pages.notes(index))
    for _ in range(70):
        notes.held("Mail")
    observer._before -= 2.0
    assert 2000 < observer._holding()["Mail"] <= 2100

    follower = Observer(engine, config, scores)
    assert follower._holding() == {}, "it does not know when they were held back"
