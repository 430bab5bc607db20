"""Samples the memory and processor time of the workers, for the keeper."""

import os
from math import inf
from time import monotonic, monotonic_ns

from poolq.monitor.rates import SlidingWindow
from poolq.scoreboard import layout
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import Phase, RowStatus
from poolq.system import identity

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MIN_CPU_SPAN = 0.9  # seconds over which processor time is measured, at least
IDLE_INTERVAL = 10.0  # seconds between two samples of a worker that stays idle
GROWTH_SPAN, MIN_GROWTH_SPAN = 120.0, 10.0  # seconds over which growth is measured: most, least


class WorkerSampler:
    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._when = monotonic()
        self._ticks = identity.cpu_ticks(pid)
        self._share = 0
        self._memory = SlidingWindow(GROWTH_SPAN)
        self._seen: tuple[int, int, int] | None = None
        self._due = -inf

    def is_due(self, row: Row, now: float) -> bool:
        """Return whether to sample the worker now: while it stays idle, once in IDLE_INTERVAL."""
        activity = row.phase, row.request, row.settled_jobs
        idle = row.phase == Phase.IDLE and activity == self._seen and not self._share
        if idle and now < self._due:
            return False
        self._seen, self._due = activity, now + IDLE_INTERVAL
        return True

    def share(self) -> int:
        """Processor time used, in thousandths of a core."""
        now = monotonic()
        if now - self._when >= MIN_CPU_SPAN:
            ticks = identity.cpu_ticks(self._pid)
            spent = max(0, ticks - self._ticks) / TICKS_PER_SECOND
            self._share = round(1000 * spent / (now - self._when))
            self._when, self._ticks = now, ticks
        return self._share

    def growth(self, rss: int) -> int | None:
        """Growth of memory in bytes per minute, or None if it is not known yet."""
        self._memory.add(monotonic(), rss)
        rate = self._memory.rate(MIN_GROWTH_SPAN)
        return None if rate is None else round(rate * 60)


class ResourceSampler:
    def __init__(self, scores: Scoreboard) -> None:
        self._scores = scores
        self._workers: dict[int, WorkerSampler] = {}  # by seq

    def sample(self) -> None:
        """Sample all workers that are due, and publish when this began: the master judges running
        jobs by their memory, so it must know the greatest possible age of a sample."""
        begun = monotonic_ns()
        rows = [row for row in self._scores.used_rows() if row.status == RowStatus.LIVE and row.pid]
        samplers = self._workers
        self._workers = {row.seq: samplers.get(row.seq) or WorkerSampler(row.pid) for row in rows}
        for row in rows:
            worker = self._workers[row.seq]
            if worker.is_due(row, begun / 1e9):
                rss = identity.resident_memory(row.pid)
                growth = None if row.phase == Phase.BOOT else worker.growth(rss)
                self._scores.set_usage(row.index, rss, worker.share(), growth)
        self._scores.set_word(layout.USAGE_SAMPLED, begun)
