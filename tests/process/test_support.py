"""The tests' own tools do what the tests rely on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import connection
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from tests.support import server, wait
from tests.support.cli import environment
from tests.support.forked import Forked, run_code
from tests.support.pool import gone
from tests.support.proxy import Proxy
from tests.support.servers import Redis
from tests.support.wait import until

ROOT = Path(__file__).parents[2]


def test_until_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"waited [0-9.]+ s for the moon; the last .* 0"):
        until(lambda: 0, timeout=0.02, what="the moon")


def test_a_busy_machine_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "PROCESSORS", 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 0.0, 0.0))
    assert (wait.patience(40), wait.patience(0.5)) == (180, 0.5)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 9.0, 9.0))
    assert (wait.patience(40), wait.patience(5)) == (40, 30)


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may not have begun yet. Nor is it given by another process of the run."""
    few = server.PORTS[:24]
    monkeypatch.setattr(server, "PORTS", few)
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    for number in range(3):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{number}")
        monkeypatch.setattr(server, "_given", set())
        given = [server.free_port() for _ in range(4)]
        assert len({*given}) == 4
        assert {*given} <= {*few[number::3]}


def test_threads_that_ask_how_a_process_has_ended_are_told_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also those that begin another one, which asks for all."""
    code, streams = ["raise SystemExit(3)"], ["/dev/null"] * 3
    ended = Forked(code, tmp_path, environment(), streams, main=run_code)
    together, look = Barrier(2), connection.wait

    def look_together(*args: Any) -> Any:
        found = look(*args)
        with suppress(BrokenBarrierError):
            together.wait(0.3)
        return found

    assert look([ended._process.sentinel], 60)
    monkeypatch.setattr(connection, "wait", look_together)
    with ThreadPoolExecutor(2) as threads:
        assert [*threads.map(lambda _: ended.poll(), range(2))] == [3, 3]


def test_a_killed_test_process_leaves_no_server_and_no_file() -> None:
    program = """
        import sys
        from tests.support.scratch import Scratch
        from tests.support.servers import MariaDB, Redis, install_mariadb
        scratch = Scratch()
        servers = [
            Redis(scratch.folder("r")),
            MariaDB(scratch.folder("m"), install_mariadb(scratch.folder("t"))),
        ]
        print(scratch.path, *(server.start().pid for server in servers), flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        folder, *pids = child.stdout.readline().split()
        assert Path(folder).is_dir()
        assert len(pids) == 2
        child.send_signal(signal.SIGKILL)
    until(lambda: all(gone(int(pid)) for pid in pids), what="the servers to die")
    until(lambda: not Path(folder).exists(), what="the files to go")


def test_a_proxy_delays(redis_server: Redis) -> None:
    """What else it does to connections, its users would miss."""
    with (
        Proxy(redis_server.host, redis_server.port) as proxy,
        socket.create_connection((proxy.host, proxy.port), timeout=0.2) as client,
    ):
        proxy.delay(30)
        client.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(5)
        proxy.heal()
        assert client.recv(100) == b"+PONG\r\n"
