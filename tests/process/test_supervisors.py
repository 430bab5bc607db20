"""Pools under a real supervisord, and under a stand-in for systemd."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy, Transport

import pytest

from tests.process.engines import sqlite
from tests.support.cli import Command, environment
from tests.support.ledger import FOLDER
from tests.support.processes import Process, process, session
from tests.support.project import Project
from tests.support.server import binary, bound_to_us
from tests.support.wait import until

SUPERVISORD = """
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/supervisor.sock
"""


#: As Lightpack's guide has it, with poolq's command, half as many, and quicker to give up.
LIGHTPACK = """
[program:lightpack-worker]
process_name=%(program_name)s_%(process_num)02d
command={command}
autostart=true
autorestart=true
stopasgroup=true
killasgroup=true
user={user}
numprocs=2
redirect_stderr=true
stdout_logfile={folder}/pool-1.log
stopwaitsecs=60
startretries=1
"""


class Questions(Transport):
    """To supervisord's socket, as supervisorctl asks, which takes half a second of CPU to start."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> HTTPConnection:
        made = HTTPConnection(str(host))
        made.sock = socket.socket(socket.AF_UNIX)
        made.sock.connect(str(self._path))
        self._connection = host, made  # which close() closes
        return made


class Supervisor:
    """A supervisord with the file that `poolq make unit supervisor` writes, and `changes` to it; or
    with Lightpack's, and `command` in it."""

    def __init__(self, project: Project, command: str = "", **changes: str) -> None:
        self.folder = project.folder
        if command:
            user, folder = getpass.getuser(), self.folder
            unit = LIGHTPACK.format(command=command, user=user, folder=folder)
        else:
            unit = self._made(changes)
        self._conf = self.folder / "supervisord.conf"
        self._conf.write_text(SUPERVISORD.format(folder=self.folder) + unit)
        self._start(project)

    def _made(self, changes: dict[str, str]) -> str:
        unit = Command(self.folder)("make", "unit", "supervisor", "--procs=2").out
        changes |= {
            "user": getpass.getuser(),
            "startsecs": "1",
            "stdout_logfile": f"{self.folder}/pool-1.log",
        }
        for key, value in changes.items():
            (old,) = [line for line in unit.splitlines() if line.startswith(f"{key}=")]
            unit = unit.replace(old, f"{key}={value}")
        return unit

    def _start(self, project: Project) -> None:
        (self.folder / "poolq.toml").write_text(
            f"engine = '{project.url}'\nnamespace = '{project.namespace}'\n"
        )
        self._popen = subprocess.Popen(
            bound_to_us([binary("supervisord"), "-c", str(self._conf)]),
            cwd=self.folder,
            env=environment(**{FOLDER: str(self.folder), "RUNTIME_DIRECTORY": str(self.folder)}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ctl(self, method: str, *args: str) -> Any:
        """What supervisorctl calls, and waits for."""
        with ServerProxy("http://it", Questions(self.folder / "supervisor.sock")) as proxy:
            return getattr(proxy.supervisor, method)(*args)

    def _programs(self) -> list[dict[str, Any]]:
        """What `supervisorctl status` would show."""
        return list(self.ctl("getAllProcessInfo"))

    def states(self) -> list[str]:
        """Of all programs, sorted."""
        return sorted(one["statename"] for one in self._programs())

    def entered(self, state: str) -> int:
        """How many programs have got into that state; supervisorctl would take longer to say it."""
        log = self.folder / "supervisord.log"
        return log.exists() and log.read_text().count(f"entered {state} state")

    @property
    def master(self) -> int:
        """The pool's master, 0 while it does not run."""
        (program,) = self._programs()
        return int(program["pid"])

    def processes(self) -> list[Process]:
        return [one for one in session(self._popen.pid) if one.alive]

    def workers(self, word: str = "") -> list[Process]:
        found = [one for one in self.processes() if one.title.startswith("poolq: worker ")]
        return [one for one in found if f" {word}" in one.title and not one.title.endswith(" boot")]

    @property
    def log(self) -> str:
        return (self.folder / "pool-1.log").read_text()

    def until_running(self, times: int = 1) -> int:
        until(lambda: self.entered("RUNNING") == times, 20, "a running pool")
        until(lambda: len(self.workers()) == 2, 10, "two workers")
        return self.master

    def close(self) -> None:
        while left := self.processes():
            for one in left:
                one.kill()
            self._popen.poll()
        self._popen.wait(60)
        print((self.folder / "supervisord.log").read_text(), self.log, sep="\n---\n")


@pytest.fixture
def supervisor(project: Project) -> Iterator[Supervisor]:
    with closing(Supervisor(project)) as made:
        yield made


@sqlite
def test_supervisor_starts_reloads_restarts_and_stops_a_pool(
    project: Project, supervisor: Supervisor
) -> None:
    old = supervisor.until_running()
    assert supervisor.ctl("signalProcess", "poolq", "HUP")
    until(lambda: len(supervisor.workers("g2 idle")) == 2, 10, "the new generation")
    assert supervisor.master == old
    running = project.dispatch("Held")
    project.ledger.until("start", running)
    restart = subprocess.Popen(
        [
            binary("supervisorctl"),
            "-c",
            str(project.folder / "supervisord.conf"),
            "restart",
            "poolq",
        ],
        stdout=subprocess.PIPE,
    )
    until(lambda: "SIGTERM: draining" in supervisor.log, 10, "the drain")
    project.ledger.open()
    out, _ = restart.communicate(timeout=30)
    assert b"started" in out
    assert supervisor.until_running(2) != old
    assert project.ledger.times("end") == {running: 1}
    assert supervisor.log.count("has ended") == 1
    assert supervisor.ctl("stopProcess", "poolq")
    assert [one.title for one in supervisor.processes() if "poolq:" in one.title] == []
    assert project.total("crashed") == 0
    assert supervisor.ctl("startProcess", "poolq")
    supervisor.until_running(3)


@sqlite
@pytest.mark.parametrize("groups", ["true", "false"])
def test_an_impatient_supervisor_kills_the_master_but_no_job(project: Project, groups: str) -> None:
    changes = {"stopwaitsecs": "1", "stopasgroup": groups, "killasgroup": groups}
    with closing(Supervisor(project, **changes)) as supervisor:
        supervisor.until_running()
        running = project.dispatch("Held")
        project.ledger.until("start", running)
        assert supervisor.ctl("stopProcess", "poolq")
        assert "SIGKILL" in (project.folder / "supervisord.log").read_text()
        project.ledger.open()
        project.ledger.until("end", running)
        until(
            lambda: not [one for one in supervisor.processes() if "poolq:" in one.title],
            10,
            "all to leave",
        )
        assert project.ledger.times("start") == {running: 1}
        assert (project.total("done"), project.total("crashed")) == (1, 0)


@sqlite
def test_lightpacks_file_runs_one_pool_and_supervisor_gives_up_the_others(project: Project) -> None:
    """It has numprocs=4, autorestart=true and no startsecs. The error says what to add, and with
    that there are as many. Two tell as much as four."""
    command = f"{sys.executable} -m poolq run --procs=1 --cooldown=3600"
    with closing(Supervisor(project, command)) as supervisor:
        until(lambda: supervisor.entered("FATAL") == 1, 150, "the end of one")
        assert supervisor.states() == ["FATAL", "RUNNING"]
        (refused,) = {line for line in supervisor.log.splitlines() if "already" in line}
        assert "a pool named 'default' runs here already" in refused
        assert "--name=%(program_name)s_%(process_num)02d" in refused
        supervisord = (project.folder / "supervisord.log").read_text()
        assert "exit status 73" in supervisord
        assert supervisor.log.count("pool default starts") == 1
        project.ledger.until("end", project.dispatch("Quick"))
    named = f"{command} --name=%(program_name)s_%(process_num)02d"
    with closing(Supervisor(project, named)) as supervisor:
        until(lambda: len(supervisor.workers("g1 idle")) == 2, 30, "two workers")
        until(lambda: supervisor.states() == ["RUNNING"] * 2, 20, "their pools")


class Systemd:
    """Listens where $NOTIFY_SOCKET says."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address.replace("@", "\0", 1))
        self.lines: list[str] = []

    def close(self) -> None:
        self._socket.close()

    def hear(self) -> list[str]:
        """All lines so far."""
        while True:
            try:
                self.lines += self._socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.lines

    def states(self) -> list[str]:
        """Without what is said again and again."""
        told = ("STATUS=", "WATCHDOG=", "MONOTONIC_USEC=", "X_")
        return [line for line in self.hear() if not line.startswith(told)]

    def until(self, *states: str) -> None:
        until(lambda: self.states() == list(states), 15, f"{states}, not {self.states()}")

    def until_status(self, text: str) -> None:
        def look() -> bool:
            said = [line for line in self.hear() if line.startswith("STATUS=")]
            return bool(said) and text in said[-1]

        until(look, 10, f"STATUS with {text!r}")


@pytest.fixture
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    place = str(tmp_path / "notify")
    if getattr(request, "param", "") == "abstract":
        place = f"@poolq-test-{os.getpid()}-{time.monotonic_ns()}"
    with closing(Systemd(place)) as made:
        yield made


@sqlite
@pytest.mark.parametrize("systemd", ["path", "abstract"], indirect=True)
def test_systemd_is_notified_of_each_state(project: Project, systemd: Systemd) -> None:
    pool = project.pool(2, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="400000")
    systemd.until("READY=1")
    systemd.until_status("running, 2 of 2 workers ready, generation 1")
    before = time.monotonic_ns() // 1000
    pool.signal(signal.SIGHUP)
    systemd.until("READY=1", "RELOADING=1", "READY=1")
    (since,) = [line for line in systemd.lines if line.startswith("MONOTONIC_USEC=")]
    assert before <= int(since.partition("=")[2]) <= time.monotonic_ns() // 1000
    (project.folder / "jobs.py").write_text("import nothing_of_this_name\n")
    pool.signal(signal.SIGHUP)
    systemd.until("READY=1", *["RELOADING=1", "READY=1"] * 2)
    systemd.until_status("the last reload was refused: module 'jobs' cannot be loaded")
    running = project.dispatch("Held")
    pool.until_runs(running)
    pool.signal(signal.SIGTERM)
    systemd.until("READY=1", *["RELOADING=1", "READY=1"] * 2, "STOPPING=1")
    systemd.until_status("draining")
    project.ledger.open()
    assert pool.wait_exit() == 0


@sqlite
def test_the_watchdog_is_notified_for_as_long_as_the_master_runs(
    project: Project, systemd: Systemd
) -> None:
    pool = project.ready(1, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="1000000")
    until(lambda: systemd.hear().count("WATCHDOG=1") > 3, what="four pets")
    pool.stop_master()
    systemd.hear()
    systemd.lines.clear()
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 0.8)
    assert systemd.hear() == [], "a master that hangs is not petted for"
    pool.continue_master()


@sqlite
def test_a_systemd_that_is_gone_or_never_reads_delays_nothing(
    project: Project, systemd: Systemd, tmp_path: Path
) -> None:
    deaf = project.ready(1, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="2000")
    id = project.dispatch("Quick")
    project.ledger.until("end", id)
    deaf.signal(signal.SIGTERM)
    assert deaf.wait_exit() == 0
    gone = project.ready(1, NOTIFY_SOCKET=str(tmp_path / "nowhere"), WATCHDOG_USEC="x")
    gone.signal(signal.SIGTERM)
    assert gone.wait_exit() == 0
    assert process(gone.pid) is None
