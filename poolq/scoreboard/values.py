"""Values that the rows and pages of the scoreboard hold, and the master's state too (pure)."""

from typing import NamedTuple

#: Which job a worker runs: (request, 1 + index) of the claim; (0, 0) when it runs none.
Running = tuple[int, int]
NO_JOB: Running = (0, 0)


class WorkerDeath(NamedTuple):
    """A worker that did not leave by itself, nor because it was told to; `why` in words."""

    at: float
    slot: int
    pid: int
    why: str
