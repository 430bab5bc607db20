"""When a worker looks for lines of parked jobs whose limits were last named by older code (pure).

A line contains the jobs of one queue that are parked under the same limit. By the old limit, it may
not be due although the limit in newer code lets its jobs start at once. If a worker's last claim
has found no job, its next claim looks for such a line. Otherwise only one of ASK_EVERY claims does,
so that a deploy over many lines holds up no other jobs. If a claim finds no such line, the worker
looks again after ASK_INTERVAL seconds: by then, others may have parked jobs or resumed a queue.
"""

from math import inf

ASK_EVERY, ASK_INTERVAL = 8, 60.0


class Asking:
    def __init__(self) -> None:
        self._claims = 0
        self._idle = False
        self._from = -inf

    def is_due(self, now: float) -> bool:
        """Return whether the next claim is to be such a line's first job; `now` in seconds."""
        self._claims += 1
        return now >= self._from and (self._idle or self._claims % ASK_EVERY == 0)

    def asked(self, many: int, now: float) -> None:
        """Record how many jobs such a claim has found."""
        self._idle = False
        if not many:
            self._from = now + ASK_INTERVAL

    def claimed(self, many: int) -> None:
        """Record how many jobs another claim has found."""
        self._idle = not many
