"""A freshly forked copy or worker does not wait for a master that has ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from poolq.scoreboard.board import Scoreboard
from poolq.system.wakeups import WakeUps
from poolq.template import template
from poolq.template.template import Template


@pytest.fixture
def newborn() -> Template:
    """A child of a master that was killed: it has another pid and its life pipe is closed."""
    life, alive = os.pipe()
    os.close(alive)
    made = Template.__new__(Template)
    made._setup = SimpleNamespace(master=os.getpid(), life=life)
    made._scores = Scoreboard(1)
    made._wakeups = WakeUps(1)
    return made


WAITS: dict[str, Callable[[Template], bool]] = {
    "a copy": lambda newborn: newborn._wait_until(lambda: False),
    "a worker": lambda newborn: newborn._wait_until(lambda: False, newborn._wakeups.doorbells[0]),
}


@pytest.mark.parametrize("waits", WAITS.values(), ids=WAITS)
def test_a_newborn_without_a_master_exits_at_once(
    newborn: Template, waits: Callable[[Template], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "ADOPTION_TIMEOUT", 1e6)
    assert waits(newborn) is False
