"""What goes on in a thread beside the chaos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Event, Thread
from types import TracebackType
from typing import Self


class Background(ABC):
    """Runs `run`, which must end soon after `over` is set, in a thread for the time of a `with`."""

    def __init__(self) -> None:
        self.over = Event()
        self._thread = Thread(target=self.run, daemon=True)

    @abstractmethod
    def run(self) -> None: ...

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it early. It may be called again."""
        self.over.set()
        self._thread.join(60)
