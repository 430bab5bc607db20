"""What the workers take of the machine, sampled by the keeper: memory and processor time."""

import os
from time import monotonic, monotonic_ns

from poolq.pool import scoreboard as board
from poolq.pool.scoreboard import Scoreboard, Status
from poolq.worker import identity

TICKS = os.sysconf("SC_CLK_TCK")
SPAN = 0.9  # seconds that a share is measured over, at least


class Scales:
    """Of one pool."""

    def __init__(self, scores: Scoreboard) -> None:
        self._scores = scores
        self._spent: dict[int, tuple[float, int, int]] = {}  # by seq: when, ticks, share

    def weigh(self) -> None:
        """All workers, one after the other; the master judges their memory, and must know how old
        it may be."""
        begun = monotonic_ns()
        seen = {}
        for row in self._scores.all():
            if row.status == Status.LIVE and row.pid:
                seen[row.seq] = self._share(row.seq, row.pid)
                self._scores.weigh(row.index, identity.resident(row.pid), seen[row.seq][2])
        self._spent = seen
        self._scores.tell(board.WEIGHED, begun)

    def _share(self, seq: int, pid: int) -> tuple[float, int, int]:
        now, ticks = monotonic(), identity.ticks(pid)
        before = self._spent.get(seq)
        if before is None:
            return now, ticks, 0
        then, had, _ = before
        if now - then < SPAN:
            return before
        return now, ticks, round(1000 * max(0, ticks - had) / TICKS / (now - then))
