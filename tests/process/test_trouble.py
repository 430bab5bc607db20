"""What the dashboard calls trouble, in real pools: whatever keeps jobs waiting is said in words."""

from __future__ import annotations

import signal

from tests.process.engines import sqlite
from tests.support.project import Project
from tests.support.screens import Screens, screens

__all__ = ["screens"]


@sqlite
def test_trouble_is_told_while_it_lasts(screens: Screens, project: Project) -> None:
    """A busy worker, a paused queue, a worker that was killed, and a job that no module defines."""
    tty = screens.shown(1)
    running = project.dispatch("Held")
    project.ledger.until("start", running)
    project.dispatch_many("Quick", 3)
    tty.until_shows("pool behind: the only worker is busy, 3 ready in default, the oldest for ")
    project.ledger.open()
    tty.until_shows("no trouble")
    project.engine.pause("default")
    tty.until_shows("queue default paused: 0 ready and 0 delayed or parked jobs", "PAUSED")
    project.engine.resume("default")
    tty.until_shows("no trouble")
    worker = next(one for one in tty.processes() if "worker 1" in one.title)
    worker.kill(signal.SIGKILL)
    tty.until_shows(f"worker 1 (pid {worker.pid}) killed by SIGKILL", "WORKERS 1")
    project.dispatch("Tomorrow", queue="new")
    tty.until_shows("job jobs:Tomorrow unknown: jobs are released: no module")
