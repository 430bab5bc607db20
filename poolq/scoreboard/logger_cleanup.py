"""Run by the logger. If the master is dead, it kills processes that dead workers' jobs started."""

import os
from time import monotonic_ns

from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import Phase, RowStatus
from poolq.system import identity
from poolq.system.kill import end_group


class LoggerCleanup:
    """`master`: the pid of the pool's master."""

    def __init__(self, scores: Scoreboard, master: int) -> None:
        self._scores = scores
        self._master = master
        self._ended_seqs: set[int] = set()

    def beat(self) -> None:
        """Record that the logger is alive. If the master is dead, kill the processes that the jobs
        of dead workers have started."""
        self._scores.set_word(layout.LOGGER_BEAT, monotonic_ns())
        if os.getppid() == self._master:
            return
        for row in self._scores.used_rows():
            dead = row.status == RowStatus.LIVE and row.pid and identity.start_time(row.pid) is None
            if dead and row.phase == Phase.BUSY and row.seq not in self._ended_seqs:
                self._ended_seqs.add(row.seq)
                end_group(row.pid, os.getsid(0))
