"""Runs the dashboard, a process that shows the pool in the terminal from which it was started.

No job depends on the dashboard, so the master waits only briefly for it when the pool ends. If the
dashboard dies, it is started again. After MAX_QUICK_DEATHS deaths in quick succession, the terminal
is restored and the pool continues without a dashboard. `poolq.cli` passes in the program of the
dashboard, as the master may not import `dashboard/`.
"""

import mmap
import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Protocol

from poolq.log.pipes import Pipes
from poolq.scoreboard.board import Scoreboard
from poolq.system.fork import fork
from poolq.system.kill import send

MAX_QUICK_DEATHS = 3
QUICK_DEATH = 10.0  # seconds; a dashboard that lives for a shorter time has died quickly
RESPAWN_DELAY = 0.5  # seconds
LEAVE_TIMEOUT = 1.0  # seconds that the dashboard has to exit at the end


class DashboardProgram(Protocol):
    """The program that the dashboard process runs."""

    def run(self, scores: Scoreboard) -> int:
        """Show the pool until it ends or TERM arrives. Returns 0 if the user has closed the
        dashboard. Then it is not started again."""

    def restore(self) -> int:
        """Restore the terminal after a dashboard was killed."""


@dataclass(eq=False)
class DashboardProcess:
    """Keeps one dashboard running. `closed_in_child` returns descriptors for a child to close."""

    program: DashboardProgram | None
    scores: Scoreboard
    log: Callable[[str, str], None]
    closed_in_child: Callable[[int], tuple[int, ...]]
    pipes: Pipes

    def __post_init__(self) -> None:
        self._errors = self.pipes.writers.named("dashboard")
        self._closed_by_user = mmap.mmap(-1, 1)  # shared with the dashboard
        self._pid = self._pidfd = self._deaths = 0
        self._started_at = self._due = -inf

    def tend(self, now: float) -> None:
        """Start the dashboard if none runs. To be called in each turn of the master's loop;
        `children.py` reaps the process."""
        if self.program is None or (self._pid and not self._has_exited(0)):
            return
        if self._pid:
            self._exited(now)
        if now >= self._due and self.program is not None:
            self._started_at, self._due = now, now + RESPAWN_DELAY
            self._fork(partial(self.program.run, self.scores))

    def next_due(self, now: float) -> float:
        """Seconds until `tend` must be called even if nothing happens."""
        return inf if self.program is None or self._pid else max(0.0, self._due - now)

    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that every child must close."""
        return (self._pidfd,) if self._pid else ()

    def end(self) -> None:
        """Stop the dashboard at the end of the pool, and restore the terminal."""
        if self.program is None:
            return
        if self._pid:
            send(self._pid, signal.SIGTERM)
            self._await()
        if not self._closed_by_user[0]:
            self._fork(self.program.restore)
            self._await()

    def _await(self) -> None:
        if self._pid and not self._has_exited(LEAVE_TIMEOUT):
            send(self._pid, signal.SIGKILL)
            self._has_exited(LEAVE_TIMEOUT)

    def _exited(self, now: float) -> None:
        assert self.program is not None
        name, on_purpose = f"dashboard (pid {self._pid})", self._closed_by_user[0] == 1
        self._forget()
        self._deaths = self._deaths + 1 if now - self._started_at < QUICK_DEATH else 1
        if on_purpose:
            self.program = None
            self.log("info", f"{name} was closed; the pool continues without it")
        elif self._deaths < MAX_QUICK_DEATHS:
            self._due = now + RESPAWN_DELAY
            self.log("warning", f"{name} died; starting another")
        else:
            self._fork(self.program.restore)
            self._forget()
            self.program = None
            text = f"died {self._deaths} times in a row; the pool continues without it"
            self.log("warning", f"{name} {text}")

    def _fork(self, main: Callable[[], int]) -> None:
        def child() -> int:
            os.dup2(self._errors, 2)
            code = main()
            self._closed_by_user[0] = code == 0
            return code

        self._forget()
        try:
            self._pid = fork(child, self.closed_in_child(self._errors), alone=False)
            self._pidfd = os.pidfd_open(self._pid)
        except OSError as error:
            self.log("warning", f"dashboard cannot be forked: {error.strerror}; trying again")

    def _has_exited(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def _forget(self) -> None:
        if self._pid:
            os.close(self._pidfd)
        self._pid = self._pidfd = 0
        self._closed_by_user[0] = 0
