"""Holds as values: a key of limits that nobody may use for a while (pure).

While a key is held, no job starts under a limit with this key; such jobs park, whatever their
`on_limit`, and use no attempt. The holds are in the engine's store (`Engine.hold`) and end by its
clock. A job that holds a key waits in a line of the hold's own, that of its `HeldKey`.
"""

from poolq.common.durations import Duration, micros
from poolq.jobs.limits import check_key

#: What errors call the length of a hold.
LENGTH = "the length of the hold"
#: Microseconds. A service may ask to be called again after 0 s; the job would run all the time.
SHORTEST_RAISED = 100_000


class Hold(BaseException):
    """`raise Hold("stripe", "30s")` in a job: no job starts under a limit with this key for that
    long. The job itself waits first, and uses no attempt. `except Exception` does not catch it.

    It lasts at least 0.1 s. If the key is held already, the hold can only become longer. Raises
    LimitError, DurationError.
    """

    def __init__(self, key: str, length: Duration) -> None:
        self.key = check_key(key)
        self.length = max(SHORTEST_RAISED, micros(length, LENGTH))
        super().__init__(key, length)

    def __str__(self) -> str:
        return f"{self.key} is held for {self.length / 1e6:g} s"
