"""What goes on in a thread beside the chaos.

It has a connection of its own: while the engine is away it waits, and the adversary, who is to
bring the engine back, must not wait with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing, suppress
from threading import Event, Thread
from typing import Self

from poolq.engines.base import Engine
from poolq.errors import EngineError
from tests.contract.helpers import open_engine


class Background(ABC):
    """Calls `act` again and again for the time of a `with`, with a pause of `every` seconds. What
    is `missing` to an act, such as the engine, is no error."""

    every: float
    missing: tuple[type[Exception], ...] = (EngineError,)

    def __init__(self, url: str, namespace: str) -> None:
        self._where = url, namespace
        self._over = Event()
        self._thread = Thread(target=self._run, daemon=True)

    @abstractmethod
    def act(self, engine: Engine) -> None: ...

    def _run(self) -> None:
        with closing(open_engine(*self._where)) as engine:
            while not self._over.wait(self.every):
                with suppress(*self.missing):
                    self.act(engine)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it early. It may be called again."""
        self._over.set()
        self._thread.join(60)
