"""Every signal in every state of a pool, as far as test_stop.py, test_reload.py and test_signals.py
do not try it: first signals that end nothing, then one that does."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.process.engines import sqlite
from tests.support.pool import Pool
from tests.support.processes import process
from tests.support.project import STANDARD, Project
from tests.support.wait import until

JOBS = f"""{STANDARD.read_text()}
if Path(os.environ[FOLDER], "import-waits").exists():
    note("import", str(os.getpid()))
    gate("import")

class Hangs(Job):
    def run(self):
        sum(range(10**12))
"""
#: A parent in the same session: without one TSTP stops nobody.
SHELL = "import subprocess as s, sys; sys.exit(s.Popen(sys.argv[1:], process_group=0).wait())"
ENDS_NOTHING = ("SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGWINCH", "SIGTTIN", "SIGTTOU", "SIGHUP")

pytestmark = sqlite


def imports_wait(project: Project) -> None:
    (project.folder / "import-waits").touch()


def boot(project: Project) -> Pool:
    imports_wait(project)
    pool = project.pool(1)
    project.ledger.until("import")
    return pool


def busy(project: Project) -> Pool:
    pool = project.pool(1)
    pool.until_runs(project.dispatch("Held"))
    return pool


def hung(project: Project) -> Pool:
    pool = project.pool(1, "--stop-timeout=0.3")
    pool.until_runs(project.dispatch("Hangs"))
    return pool


def recycling(project: Project) -> Pool:
    """The successor boots, the old worker has a job."""
    pool = project.pool(1, "--no-preload", "--max-jobs=1")
    pool.until_idle(1)
    imports_wait(project)
    project.dispatch("Quick")
    project.ledger.until("import")
    pool.until_runs(project.dispatch("Held"))
    return pool


def reloading(project: Project) -> Pool:
    """The new template loads, the old worker has a job."""
    pool = busy(project)
    imports_wait(project)
    pool.signal(signal.SIGHUP)
    project.ledger.until("import")
    return pool


def draining(project: Project) -> Pool:
    pool = busy(project)
    pool.signal(signal.SIGTERM)
    pool.until_said("draining")
    return pool


@pytest.mark.parametrize(
    ("state", "how", "code"),
    [
        (boot, "SIGTERM", 0), (boot, "SIGINT", 0), (boot, "SIGQUIT", 0),
        (hung, "SIGINT", 5), (hung, "SIGQUIT", 5),
        (recycling, "SIGTERM", 0), (recycling, "SIGINT", 0), (recycling, "SIGQUIT", 5),
        (reloading, "SIGINT", 0), (reloading, "SIGQUIT", 5),
        (draining, "SIGQUIT", 5),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)  # fmt: skip
def test_a_signal_means_the_same_in_every_state(
    project: Project, state: object, how: str, code: int
) -> None:
    assert callable(state)
    pool = state(project)
    for name in ENDS_NOTHING:
        pool.signal(signal.Signals[name])
    for name in ("SIGTTIN", "SIGTTOU", "SIGHUP"):
        pool.until_said(f"{name}: ")
    pool.signal(signal.Signals[how])
    pool.until_said(f"{how}: ")
    project.ledger.open("import")
    if code == 0:
        project.ledger.open()
    assert pool.wait_exit() == code
    assert "Traceback" not in pool.log
    left = 1 if code else 0
    until(lambda: project.left() == left)
    assert project.total("crashed") == 0


def test_a_suspended_master_continues_as_before(project: Project) -> None:
    """Its workers work meanwhile; what it was told before is done when it goes on."""
    pool = project.pool(2, through=(sys.executable, "-c", SHELL))
    pool.until_idle(2)
    workers = {one.pid for one in pool.workers()}
    master = until(lambda: pool.titled("poolq: master"))
    held = project.dispatch("Held")
    pool.until_runs(held)
    master.kill(signal.SIGTSTP)
    until(lambda: (one := process(master.pid)) is not None and one.state == "T")
    quick = project.dispatch("Quick")
    project.ledger.until("end", quick)
    master.kill(signal.SIGUSR2)
    master.kill(signal.SIGCONT)
    pool.until_said("in gate")
    project.ledger.open()
    project.ledger.until("end", held)
    assert workers == {one.pid for one in pool.until_idle(2)}
    master.kill(signal.SIGTERM)
    assert pool.wait_exit() == 0
