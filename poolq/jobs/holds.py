"""Holds as values. A hold stops all starts under the limits with one key for a while (pure).

While a key is held, no job starts under a limit with this key; such jobs park, whatever their
`on_limit`, and use no attempt. The holds are in the engine's store (`Engine.hold`) and end by its
clock. A job that raises a `Hold` waits in the line of its rate limit with this key. If it has no
such limit, it waits in a separate line for the hold (`HeldKey`).
"""

from poolq.common.durations import Duration, micros
from poolq.jobs.limits import check_key

#: What errors call the length of a hold.
LENGTH = "the length of the hold"
#: Microseconds. Without a minimum, a job would run all the time if its service said "after 0 s".
SHORTEST_RAISED = 100_000


class Hold(BaseException):
    """`raise Hold("stripe", "30s")` in a job: no job starts under a limit with this key for that
    long. The job itself waits, too, usually as the first in line, and uses no attempt.

    A hold lasts at least 0.1 s. If the key is held already, the hold can only become longer.
    `except Exception` does not catch a Hold. Raises LimitError, DurationError.
    """

    def __init__(self, key: str, length: Duration) -> None:
        self.key = check_key(key)
        self.length = max(SHORTEST_RAISED, micros(length, LENGTH))
        super().__init__(key, length)

    def __str__(self) -> str:
        return f"{self.key} is held for {self.length / 1e6:g} s"
