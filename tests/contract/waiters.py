"""Keepers that wait."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from poolq.engines.base import Claim, Engine
from tests.contract.helpers import Worker
from tests.support.wait import until

SHORT = 0.03  # seconds: long enough for one query
LONG = 600.0  # seconds: a waiter that is not woken outlives the time of every test


def waiting(
    threads: ThreadPoolExecutor, engine: Engine, timeout: float, queues: Sequence[str] | None
) -> Future[int]:
    """A keeper that is known to wait, in a thread."""

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
    """Take all tokens."""
    until(lambda: engine.wait(queues, SHORT) == 0, 5, "an end of the tokens")


def woken_for(engine: Engine, worker: Worker) -> Claim:
    """Wait until a job of queue q can be claimed, and return the claim. The first wake-ups may be
    about a job that was stored or put off, and is not due yet."""
    for _ in range(3):
        if claims := worker.claim():
            return claims[0]
        assert engine.wait(["q"], LONG) > 0
    raise AssertionError("woken again and again for nothing")
