"""A pool as PID 1 of its container, and where there is no more room: for a process, on the disk."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path

from tests.process.engines import sqlite
from tests.support.pool import Pool
from tests.support.processes import Process, process
from tests.support.project import Project
from tests.support.talking import poolq
from tests.support.wait import until

ROOT = os.geteuid() == 0
CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
CONTAINER += [] if ROOT else ["--user", "--map-root-user"]
#: root has no limit of processes, so be nobody, who may read the tests' files.
LIMITED = ["setpriv", "--reuid=61357", "--clear-groups"] if ROOT else []
LIMITED += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"] if ROOT else []

DAEMON = """
class Daemon(Job):
    def run(self):
        subprocess.run(["sh", "-c", "sleep 600.5 &"])
        note("end", self.id)
"""

pytestmark = sqlite


def children(parent: int) -> list[Process]:
    """Also those that are no more than a zombie."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [one for pid in pids if (one := process(int(pid))) is not None]


def titled(parent: int, title: str) -> Process:
    return until(lambda: [one for one in children(parent) if one.title == title], 5, title)[0]


def test_as_pid_1_it_reaps_strangers_and_ends_as_anywhere(project: Project) -> None:
    jobs = project.folder / "jobs.py"
    jobs.write_text(jobs.read_text() + DAEMON)
    pool = project.pool(2, through=CONTAINER)
    pool.until_idle(2)
    master = pool.titled("poolq: master")
    assert master is not None
    assert f"NSpid:\t{master.pid}\t1\n" in Path(f"/proc/{master.pid}/status").read_text()
    # What a job has left, and what somebody has who looked in.
    project.ledger.until("end", project.dispatch("Daemon"))
    enter = ["nsenter", f"--target={master.pid}", "--pid", "--mount"]
    enter += [] if ROOT else ["--user", "--preserve-credentials"]
    subprocess.run([*enter, "sh", "-c", "sleep 600.7 &"], check=True, timeout=10)
    for title in ("sleep 600.5", "sleep 600.7"):
        stranger = titled(master.pid, title)
        stranger.kill()
        until(lambda pid=stranger.pid: process(pid) is None, 5, "no zombie")  # type: ignore[misc]  # mypy: no lambda defaults
    held = project.dispatch("Held")
    project.ledger.until("start", held)
    pool.until_runs(held).kill()
    project.ledger.until("start", held, 2)
    shown = poolq(pool, "status", "--json")
    assert (shown.code, shown.json["pid"], shown.json["state"]) == (0, 1, "running")
    master.kill(signal.SIGTERM)
    pool.until_said("SIGTERM: draining")
    project.ledger.open()
    assert pool.wait_exit() == 0
    assert project.ledger.times("end")[held] == 1
    assert "exited with code" not in pool.log


def limit_processes(pool: Pool, most: int) -> None:
    """Of its user, which all that fork heed."""
    for one in pool.processes():
        words = ["prlimit", f"--pid={one.pid}", f"--nproc={'unlimited' if most < 0 else most}:"]
        subprocess.run([*LIMITED, *words], check=True, timeout=10)


def test_without_room_for_a_process_it_goes_on_and_tries_again(project: Project) -> None:
    pool = project.pool(2, through=LIMITED)
    first, second = pool.until_idle(2)
    until(lambda: pool.titled("poolq: template g1 spare"), 5, "a copy")
    limit_processes(pool, 1)
    first.kill()
    why = "Resource temporarily unavailable; trying again"
    pool.until_said(f"template g1 cannot fork: {why}")
    pool.kill_keeper()
    pool.until_said(f"keeper cannot be forked: {why}")
    pool.signal(signal.SIGHUP)
    pool.until_said(f"template g2 cannot be forked: {why}")
    assert poolq(pool, "status").code == 0
    assert [one.pid for one in pool.idle()] == [second.pid]
    held = project.dispatch("Quick")
    limit_processes(pool, resource.getrlimit(resource.RLIMIT_NPROC)[1])
    project.ledger.until("end", held)
    until(lambda: pool.keeper() is not None and len(pool.idle()) == 2)
    pool.until_said("generation 2 is accepted")
    until(lambda: pool.zombies() == [], 10, "all dead reaped")
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
