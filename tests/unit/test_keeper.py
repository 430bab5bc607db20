"""What a keeper does at its beat."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from poolq import config
from poolq.pool.bells import Bells
from poolq.pool.keeper import Keeper
from poolq.pool.scoreboard import Scoreboard
from poolq.view.reporting import set_up
from poolq.worker.signals import Signals


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    settings = config.load({"engine": f"sqlite:///{tmp_path}/jobs.db"}, {}, tmp_path)
    reading, writing = os.pipe()
    made = Keeper(settings, "n", Scoreboard(1), Bells(1), Signals(reading), set_up("text"))
    with closing(made._engine):
        yield made
    os.close(reading)
    os.close(writing)


def test_who_was_stopped_while_it_beat_beats_again(keeper: Keeper) -> None:
    """Its answer is an old one: to the others it has been silent since."""
    keeper._beat()
    assert [node.beat for node in keeper._engine.nodes()] == [1]
    keeper._interval = 0.0  # any exchange takes longer than that
    keeper._beat()
    assert [node.beat for node in keeper._engine.nodes()] == [3]
