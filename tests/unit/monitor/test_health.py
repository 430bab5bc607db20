"""Whether a pool is well, by what it publishes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from poolq.monitor.health import HealthInputs, live, ready

WELL = HealthInputs("running", 2, 0.3, 0.5, True, 3.0, 30.0)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"state": "reloading"},
        {"workers": 1},
        {"master": 9.9, "keeper": 19.0, "broker": 29.0},
    ],
)
def test_a_healthy_pool(change: dict[str, Any]) -> None:
    signs = replace(WELL, **change)
    assert (live(signs), ready(signs)) == ("", "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "starting", "keeper": None, "broker": None, "workers": 0}, "it is starting"),
        ({"state": "paused"}, "it is paused"),
        ({"state": "draining"}, "it is draining"),
        ({"workers": 0}, "no worker is up"),
        ({"broker": None}, "the broker has not been reached yet"),
        ({"reachable": False}, "the broker has not answered for 3 s"),
        ({"broker": 31.0}, "the broker has not answered for 31 s"),
    ],
)
def test_one_that_lives_but_is_not_ready(change: dict[str, Any], why: str) -> None:
    signs = replace(WELL, **change)
    assert (live(signs), ready(signs)) == ("", why)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"master": 11.0}, "its master has been silent for 11 s"),
        ({"keeper": 21.0}, "its keeper has been silent for 21 s"),
    ],
)
def test_one_that_does_not_live(change: dict[str, Any], why: str) -> None:
    signs = replace(WELL, **change)
    assert (live(signs), ready(signs)) == (why, why)
