"""Whose time it is: the engine's server's, wherever it goes. What is ready stays ready, a window
that was opened later than now is over, and a moment that was named stays that moment."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine
from tests.contract.helpers import HOUR, SECOND, Worker, named, push, stored
from tests.support.clock import Clock


@pytest.mark.parametrize("moved", [HOUR, -HOUR])
def test_the_clock_of_these_tests_is_the_engines(
    engine: Engine, worker: Worker, clock: Clock, moved: int
) -> None:
    clock.forward(moved)
    (pushed,) = push(engine, "a", delay=SECOND)
    assert stored(engine, pushed).at == clock.now + SECOND
    clock.forward(SECOND - 1)
    assert worker.claim() == []
    clock.forward(1)
    assert named(worker.claim()) == ["a"]
    assert stored(engine, pushed).at == clock.now
