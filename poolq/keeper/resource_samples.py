"""What the workers take of the machine, sampled by the keeper: memory and processor time."""

import os
from time import monotonic, monotonic_ns

from poolq.monitor.rates import SlidingWindow
from poolq.scoreboard import board
from poolq.scoreboard.board import Row, RowStatus, Scoreboard
from poolq.scoreboard.worker_row import Phase
from poolq.system import identity

TICKS = os.sysconf("SC_CLK_TCK")
SPAN = 0.9  # seconds that a share is measured over, at least
RARELY = 10.0  # seconds between two weighings of one that stays idle
LATELY, LEAST = 120.0, 10.0  # seconds that a growth is measured over, at most and at least


class Worker:
    """One that is weighed now and then."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._when = monotonic()
        self._ticks = identity.cpu_ticks(pid)
        self._share = 0
        self._memory = SlidingWindow(LATELY)
        self._seen: tuple[int, int, int] | None = None
        self._due = 0.0

    def is_due(self, row: Row, now: float) -> bool:
        """Whether to weigh it: an idle one that has done nothing since the last time, only now and
        then."""
        seen = row.phase, row.request, row.settled_jobs
        idle = row.phase == Phase.IDLE and seen == self._seen and not self._share
        if idle and now < self._due:
            return False
        self._seen, self._due = seen, now + RARELY
        return True

    def share(self) -> int:
        """Of a core, in thousandths."""
        now = monotonic()
        if now - self._when >= SPAN:
            ticks = identity.cpu_ticks(self._pid)
            spent = max(0, ticks - self._ticks) / TICKS
            self._share = round(1000 * spent / (now - self._when))
            self._when, self._ticks = now, ticks
        return self._share

    def growth(self, rss: int) -> int | None:
        """Bytes a minute."""
        self._memory.add(monotonic(), rss)
        rate = self._memory.rate(LEAST)
        return None if rate is None else round(rate * 60)


class Scales:
    """Of one pool."""

    def __init__(self, scores: Scoreboard) -> None:
        self._scores = scores
        self._workers: dict[int, Worker] = {}  # by seq

    def weigh(self) -> None:
        """The workers, one after the other; the master judges the memory of those that run a job,
        and must know how old it may be."""
        begun = monotonic_ns()
        rows = [row for row in self._scores.used_rows() if row.status == RowStatus.LIVE and row.pid]
        self._workers = {row.seq: self._workers.get(row.seq) or Worker(row.pid) for row in rows}
        for row in rows:
            worker = self._workers[row.seq]
            if worker.is_due(row, begun / 1e9):
                self._weigh(row, worker)
        self._scores.set_word(board.WEIGHED, begun)

    def _weigh(self, row: Row, worker: Worker) -> None:
        rss = identity.resident_memory(row.pid)
        booting = row.phase == Phase.BOOT
        growth = None if booting else worker.growth(rss)
        self._scores.set_usage(row.index, rss, worker.share(), growth)
