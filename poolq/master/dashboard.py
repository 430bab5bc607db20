"""The process that shows the pool in the terminal it was started from: forked, watched, ended.

No job depends on it, so the master never waits for it but at the very end, and shortly. One that
dies is forked anew; one that dies again and again is given up, and the terminal given back. What it
shows is not known here: `poolq.cli` hands it in, as the view stands above the pool.
"""

import mmap
import os
import select
import signal
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Protocol

from poolq.scoreboard.board import Scoreboard
from poolq.system.fork import fork
from poolq.system.kill import send

MAX_QUICK_DEATHS = 3  # in a row, each within QUICK_DEATH seconds: it is given up
QUICK_DEATH = 10.0
RESPAWN_DELAY = 0.5  # seconds before another is forked
LEAVE_TIMEOUT = 1.0  # seconds that it has at the end
Log = Callable[[str, str], None]


class DashboardProgram(Protocol):
    """What the process does. `keep`: the descriptor that its own errors go to."""

    def run(self, scores: Scoreboard) -> int:
        """Show the pool until it ends, or TERM. Returns 0 if the user left and the dashboard is not
        to be started again."""

    def restore(self) -> int:
        """Give back a terminal that a killed one has left as it was."""


class DashboardProcess:
    """At most one such process. `errors`: the log's pipe; `close`: the descriptors that a process
    which speaks through it must not keep."""

    def __init__(
        self,
        program: DashboardProgram | None,
        scores: Scoreboard,
        log: Log,
        close: Callable[[int], tuple[int, ...]],
        errors: int,
    ) -> None:
        self._program = program
        self._scores = scores
        self._log = log
        self._close = close
        self._errors = errors
        self._left = mmap.mmap(-1, 1)  # shared with the process: it left on purpose
        self._pid = self._pidfd = 0
        self._born = -inf
        self._deaths = 0
        self._due = 0.0

    def tend(self, now: float) -> None:
        """Once in each turn of the master's loop; the process itself is reaped elsewhere."""
        if self._program is None or (self._pid and not self._gone(0)):
            return
        if self._pid:
            self._died(now)
        self._respawn(now)

    def _respawn(self, now: float) -> None:
        if self._program is not None and now >= self._due:
            self._born, self._due = now, now + RESPAWN_DELAY
            self._begin(partial(self._program.run, self._scores))

    def next_due(self, now: float) -> float:
        """Seconds until `tend` has something to do by time alone."""
        return inf if self._program is None or self._pid else max(0.0, self._due - now)

    def private(self) -> tuple[int, ...]:
        """What no child may keep."""
        return (self._pidfd,) if self._pid else ()

    def end(self) -> None:
        """The pool has ended: it takes its leave, or is killed."""
        if self._program is None:
            return
        if self._pid:
            send(self._pid, signal.SIGTERM)
            self._await()
        if not self._left[0]:
            self._begin(self._program.restore)
            self._await()

    def _await(self) -> None:
        if self._pid and not self._gone(LEAVE_TIMEOUT):
            send(self._pid, signal.SIGKILL)
            self._gone(LEAVE_TIMEOUT)

    def _died(self, now: float) -> None:
        assert self._program is not None
        who, on_purpose = f"dashboard (pid {self._pid})", self._left[0] == 1
        self._forget()
        self._deaths = self._deaths + 1 if now - self._born < QUICK_DEATH else 1
        if on_purpose:
            self._program = None
            self._log("info", f"{who} has left; the pool goes on without it")
        elif self._deaths < MAX_QUICK_DEATHS:
            self._due = now + RESPAWN_DELAY
            self._log("warning", f"{who} died; starting another")
        else:
            self._begin(self._program.restore)
            self._forget()
            self._program = None
            text = f"died {self._deaths} times in a row; the pool goes on without it"
            self._log("warning", f"{who} {text}")

    def _begin(self, main: Callable[[], int]) -> None:
        def child() -> int:
            os.dup2(self._errors, 2)
            code = main()
            self._left[0] = code == 0
            return code

        self._forget()
        try:
            self._pid = fork(child, self._close(self._errors), alone=False)
            self._pidfd = os.pidfd_open(self._pid)
        except OSError as error:
            self._log("warning", f"dashboard cannot be forked: {error.strerror}; trying again")

    def _gone(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def _forget(self) -> None:
        if self._pid:
            os.close(self._pidfd)
        self._pid = self._pidfd = 0
        self._left[0] = 0
