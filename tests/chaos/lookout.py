"""Somebody who looks at the rate limits all the time, as the engine has them.

A thread of its own with a connection of its own: while the engine is away it waits, and the
adversary, who is to bring the engine back, must not wait with it.
"""

from __future__ import annotations

from contextlib import closing
from threading import Event, Thread
from types import TracebackType
from typing import Self

from poolq.errors import EngineError
from tests.chaos.jobs import LIMITS
from tests.chaos.records import Glimpse
from tests.contract.helpers import open_engine

EVERY = 0.1  # seconds


class Lookout:
    """`seen` is complete once it has ended."""

    def __init__(self, url: str, namespace: str) -> None:
        self.seen: set[Glimpse] = set()
        self._where = url, namespace
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(30)

    def _watch(self) -> None:
        with closing(open_engine(*self._where)) as engine:
            while not self._over.wait(EVERY):
                try:
                    uses = engine.limits()
                except EngineError:  # it is away
                    continue
                for use in uses:
                    key, window = use.rule.key, use.window
                    self.seen.add(
                        Glimpse(key, window.start, use.rule.window, window.used, LIMITS[key])
                    )
