"""The one place where a test waits: on a condition, never on the clock alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

T = TypeVar("T")  # the def f[T] spelling needs Python 3.12
FIRST_STEP, LAST_STEP = 0.01, 0.05  # seconds between two looks at a condition


def until(predicate: Callable[[], T], timeout: float = 30, what: str = "") -> T:
    """Return the first true value of `predicate`, looked at every 10 ms at first. What takes longer
    is looked at less often, since looking keeps a processor busy that others need.

    Raises AssertionError naming `what` and the last value after `timeout` seconds. Errors
    raised by `predicate` go straight to the caller: saying which of them mean "not yet" is
    the predicate's business.
    """
    begun = time.monotonic()
    pause = Event()
    while True:
        value = predicate()
        if value:
            return value
        waited = time.monotonic() - begun
        if waited >= timeout:
            named = what or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"waited {timeout} s for {named}; the last value was {value!r}")
        pause.wait(min(max(FIRST_STEP, waited / 10), LAST_STEP))
