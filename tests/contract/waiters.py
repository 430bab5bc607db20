"""Keepers that wait."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from poolq.engines.base import Engine
from tests.support.wait import until

SHORT = 0.03  # seconds: long enough for the engine to look once


def waiting(
    threads: ThreadPoolExecutor, engine: Engine, timeout: float, queues: Sequence[str] | None
) -> Future[int]:
    """A keeper that waits in a thread, and has been seen to wait."""

    def wait() -> int:
        try:
            return engine.wait(queues, timeout)
        finally:
            engine.close()

    future = threads.submit(wait)
    with pytest.raises(TimeoutError):
        future.result(0.05)
    return future


def quiet(engine: Engine, queues: Sequence[str] | None = ("q",)) -> None:
    """Take what tokens there are."""
    until(lambda: engine.wait(queues, SHORT) == 0, 5, "an end of the tokens")
