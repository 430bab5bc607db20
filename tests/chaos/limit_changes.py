"""Somebody who changes limits all the time, holds their keys, and lifts the holds."""

from __future__ import annotations

import random
from collections.abc import Callable

from poolq.engines.base import Engine
from tests.chaos.background import Background
from tests.chaos.job_facts import LIMITS
from tests.chaos.jobs import WINDOW
from tests.chaos.records import Change

SPAN = round(WINDOW * 1e6)
#: The keys whose limits change, and those that are held.
CHANGED = ("adjusted", "adjusted", "slides", "costs")
HELD = ("adjusted", "slides", "costs", "jobs:Parks", "jobs:Releases", "user:0", "tenant:0")
#: Microseconds for which a key is held.
HOLDS = (200_000, 700_000, 2_500_000)


class LimitChanger(Background):
    """`made`: what it did, in that order, complete once it has ended; `held`: how often it has
    held a key."""

    every = 0.25

    def __init__(self, url: str, namespace: str, seed: int) -> None:
        super().__init__(url, namespace)
        self.made: list[Change] = []
        self.held = 0
        self._rand = random.Random(seed)

    def undo(self, engine: Engine) -> None:
        """Let all be as the code says, once this has ended. Raises EngineError."""
        for key in sorted({*CHANGED, *HELD}):
            self._reset(engine, key, forgets=False)
            self._lift(engine, key)

    def act(self, engine: Engine) -> None:
        which, key = self._rand.random(), self._rand.choice(CHANGED)
        if which < 0.4:
            limit = self._rand.randint(1, 2 * LIMITS[key])
            act = lambda: engine.set_limit(key, SPAN, limit)  # noqa: E731  # it is done below
            self._note(engine, Change("set", key, 0, None, limit), act)
        elif which < 0.6:
            self._reset(engine, key, forgets=self._rand.random() < 0.3)
        elif which < 0.9:
            engine.hold(self._rand.choice(HELD), self._rand.choice(HOLDS))
            self.held += 1
        else:
            self._lift(engine, self._rand.choice(HELD))

    def _reset(self, engine: Engine, key: str, *, forgets: bool) -> None:
        change = Change("forget" if forgets else "reset", key, 0, None)
        self._note(engine, change, lambda: engine.reset_limit(key, SPAN, forgets))

    def _lift(self, engine: Engine, key: str) -> None:
        self._note(engine, Change("lift", key, 0, None), lambda: engine.lift(key))

    def _note(self, engine: Engine, change: Change, act: Callable[[], object]) -> None:
        """Do it, and note between which times of the engine's clock it was done."""
        change = change._replace(begin=engine.now())
        end = None
        try:
            act()
            end = engine.now()
        finally:
            self.made.append(change._replace(end=end))
