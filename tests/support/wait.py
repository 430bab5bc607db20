"""The one place where a test waits: on a condition, never on the clock alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

T = TypeVar("T")  # the def f[T] spelling needs Python 3.12
FIRST_STEP, LAST_STEP = 0.01, 0.05  # seconds between two looks at a condition
#: Seconds. Who waits for less than LONG does not mind if the condition is not met in that time;
#: nobody else gives up before ENOUGH, as what takes an instant may be held up for many.
LONG, ENOUGH = 2.0, 30.0
PROCESSORS = os.cpu_count() or 1


def patience(timeout: float) -> float:
    """Return how long this machine may take for what an idle one does in `timeout` seconds, and
    long anyway."""
    return timeout if timeout < LONG else as_busy(max(timeout, ENOUGH))


def as_busy(seconds: float) -> float:
    """As many times as long as there are processes that want to run for each processor."""
    return seconds * max(1.0, os.getloadavg()[0] / PROCESSORS)


def until(predicate: Callable[[], T], timeout: float = 30, what: str = "") -> T:
    """Return the first true value of `predicate`, looked at every 10 ms at first. What takes longer
    is looked at less often, since looking keeps a processor busy that others need.

    Raises AssertionError naming `what` and the last value after `timeout` seconds, or more of them
    on a busy machine (see `patience`). Errors raised by `predicate` go straight to the caller:
    saying which of them mean "not yet" is the predicate's business.
    """
    begun = time.monotonic()
    pause = Event()
    while True:
        value = predicate()
        if value:
            return value
        waited = time.monotonic() - begun
        if waited >= timeout and waited >= patience(timeout):
            named = what or getattr(predicate, "__qualname__", repr(predicate))
            text = f"waited {waited:.3g} s for {named}; the last value was {value!r}"
            raise AssertionError(text)
        pause.wait(min(max(FIRST_STEP, waited / 10), LAST_STEP))
