"""The clock of this process: by it, points in time are meant, and SQLite's files have it as theirs.

Tests hold it (`poolq.testing`). Durations are measured by a monotonic clock instead.
"""

from time import time_ns

_held: list[int] = []  # the time at which it is held, if it is


def now() -> int:
    """Return microseconds since the epoch."""
    return _held[0] if _held else time_ns() // 1000


def hold(at: int) -> None:
    """Show this time, in all threads, until another one is set or `free` is called."""
    _held[:] = [at]


def free() -> None:
    _held.clear()
