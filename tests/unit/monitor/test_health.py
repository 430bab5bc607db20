"""Whether a pool is well, by what it publishes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from poolq.monitor.health import HealthInputs, live, ready

WELL = HealthInputs("running", 2, 0.3, 0.5, True, 3.0, 30.0)


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
        ({"broker": None}, "", "the broker has not been reached yet"),
        ({"reachable": False}, "", "the broker has not answered for 3 s"),
        ({"broker": 31.0}, "", "the broker has not answered for 31 s"),
        ({"master": 11.0}, HUNG.format("master", 11), HUNG.format("master", 11)),
        ({"keeper": 21.0}, HUNG.format("keeper", 21), HUNG.format("keeper", 21)),
    ],
)
def test_a_pool_lives_and_is_ready_or_says_why_not(
    change: dict[str, Any], lives: str, is_ready: str
) -> None:
    signs = replace(WELL, **change)
    assert (live(signs), ready(signs)) == (lives, is_ready)
