"""One real server process: started, stopped, killed and restarted by a test.

What holds for every server here:
- it listens on 127.0.0.1 on a port of its own and keeps all its files in its own folder;
- it dies with the process that started it, also when that one is killed with -9: the kernel
  sends it SIGKILL (setpriv --pdeathsig). The kernel means the *thread* that started it, so
  only the main thread may;
- a restart keeps port and folder, so that clients find it, and its data, again.
Which command to run and when it answers is left to the subclasses.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.wait import patience, until

HOST = "127.0.0.1"
SYSTEM_PATH = os.pathsep.join(  # a user's PATH has no sbin, where Debian keeps mariadbd
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
)
# Below the ports that the kernel gives to outgoing connections: one of those could take a
# server's port while the server is down.
PORTS = range(10_000, 32_000)
_given: set[int] = set()


def _own_ports() -> range:
    """Those of this process of a run: none of another's servers gets one that has not begun yet, or
    is down for a moment."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return PORTS[int(number) :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


def free_port() -> int:
    """Pick a port that nobody listens on, and that was not picked before."""
    for _ in range(100):
        port = random.choice(_own_ports())
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex((HOST, port)) == 0:
                continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise AssertionError(f"no free port between {PORTS.start} and {PORTS.stop}")


def binary(name: str) -> str:
    """Return the path of a server's program; a missing one is an error, never a skip."""
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        raise AssertionError(f"{name} is not installed: `make servers` installs it")
    return found


def bound_to_us(command: list[str], *privileges: str) -> list[str]:
    """Have the kernel kill `command` when the thread that starts it ends. `privileges`: further
    options of setpriv."""
    if threading.current_thread() is not threading.main_thread():
        raise AssertionError("only the main thread may start a server: it would die with any other")
    return [binary("setpriv"), *privileges, "--pdeathsig", "KILL", "--", *command]


class Server(ABC):
    """A server process; see the top of this file for what holds."""

    start_timeout = 30.0
    stop_timeout = 20.0
    privileges: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = HOST
        self.port = free_port()
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where poolq finds this server."""

    @abstractmethod
    def command(self) -> list[str]:
        """The server's command line, for its present port."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server takes a client now."""

    def start(self) -> Self:
        """Start the process and return when it answers."""
        if self.running:
            raise AssertionError(f"{self!r} is running already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                bound_to_us(self.command(), *self.privileges),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the tests, which then stop us
            )
        until(self._ready, self.start_timeout, f"{self!r} to answer")
        return self

    def stop(self) -> None:
        """Shut the server down in order (TERM) and return when it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server (-9) and return when it is gone."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> Self:
        """Stop or kill the server, then start it on the same port with what it kept."""
        self._end(signal.SIGKILL if kill else signal.SIGTERM)
        return self.start()

    def freeze(self) -> None:
        """Suspend the process: it keeps its connections and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise AssertionError(f"{self!r} is not running")
        return self._process.pid

    def _ready(self) -> bool:
        if not self.running:
            said = self.log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self!r} ended while it started; its log:\n{said}")
        return self.answers()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # it may be frozen
        try:
            process.wait(patience(self.stop_timeout))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self!r} did not end within {self.stop_timeout} s") from None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url})"
