"""Whether a pool is well, by what it publishes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from poolq.monitor.health import LIVE, READY, why_not
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import Phase

NOW = 1_000_000_000_000
BEATS = {
    "master": layout.MASTER_BEAT, "keeper": layout.KEEPER_BEAT, "broker": layout.BROKER_SEEN,
}  # fmt: skip
WELL = {
    "state": "running", "workers": 2, "reachable": True, "master": 0.3, "keeper": 0.5, "broker": 3.0
}  # fmt: skip


HUNG = "its {} has been silent for {} s"


@pytest.mark.parametrize(
    ("change", "lives", "is_ready"),
    [
        ({}, "", ""),
        ({"state": "reloading"}, "", ""),
        ({"workers": 1}, "", ""),
        ({"master": 9.9, "keeper": 19.0, "broker": 29.0}, "", ""),
        ({"state": "starting", "keeper": None, "broker": None, "workers": 0}, "", "it is starting"),
        ({"state": "paused"}, "", "it is paused"),
        ({"state": "draining"}, "", "it is draining"),
        ({"workers": 0}, "", "no worker is up"),
        ({"broker": None}, "", "the engine has not been reached yet"),
        ({"reachable": False}, "", "the engine has not answered for 3 s"),
        ({"broker": 31.0}, "", "the engine has not answered for 31 s"),
        ({"master": 11.0}, HUNG.format("master", 11), HUNG.format("master", 11)),
        ({"keeper": 21.0}, HUNG.format("keeper", 21), HUNG.format("keeper", 21)),
    ],
)
def test_a_pool_lives_and_is_ready_or_says_why_not(
    change: dict[str, Any], lives: str, is_ready: str
) -> None:
    signs: dict[str, Any] = WELL | change
    scores = Scoreboard(2)
    for name, word in BEATS.items():
        if signs[name] is not None:
            scores.set_word(word, NOW - round(signs[name] * 1e9))
    scores.set_word(layout.BROKER_UP, signs["reachable"])
    for row in range(signs["workers"]):
        scores.worker_row(row).set_phase(Phase.IDLE)
    workers = [SimpleNamespace(row=row, pid=9, stop_sent=False) for row in range(2)]
    status: Any = SimpleNamespace(state=signs["state"], node_ttl=30.0, workers=workers)
    assert [why_not(probe, scores, status, NOW) for probe in (LIVE, READY)] == [lives, is_ready]
