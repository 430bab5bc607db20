"""The tests' own tools do what the tests rely on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import OwnRedis
from tests.support import wait
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
    until(lambda: not any(is_alive(int(pid)) for pid in pids), what="the servers to die")
    until(lambda: not Path(folder).exists(), what="the files to go")


def is_alive(pid: int) -> bool:
    """Whether the process still runs; nobody may have reaped it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


class TestProxy:
    @pytest.fixture
    def proxy(self, redis_server: Redis) -> Iterator[Proxy]:
        with Proxy(redis_server.host, redis_server.port) as proxy:
            yield proxy

    def client(self, proxy: Proxy) -> socket.socket:
        return socket.create_connection((proxy.host, proxy.port), timeout=5)

    def ask(self, client: socket.socket, request: str) -> bytes:
        client.sendall(request.encode() + b"\r\n")
        return client.recv(1000)

    def is_closed(self, client: socket.socket) -> bool:
        try:
            return client.recv(1000) == b""
        except ConnectionResetError:
            return True

    def test_blackhole(self, proxy: Proxy, redis_server: Redis, namespace: str) -> None:
        with self.client(proxy) as client, redis_server.client() as direct:
            self.ask(client, "PING")
            proxy.blackhole()
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                self.ask(client, f"INCR {namespace}")
            assert direct.get(namespace) is None
            proxy.heal()
            assert self.is_closed(client)

    def test_delay(self, proxy: Proxy) -> None:
        with self.client(proxy) as client:
            proxy.delay(30)
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                self.ask(client, "PING")
            client.settimeout(5)
            proxy.heal()
            assert client.recv(100) == b"+PONG\r\n"

    def test_a_server_that_is_down_closes_the_connection(self, own_redis: OwnRedis) -> None:
        server = own_redis(durable=False)
        with Proxy(server.host, server.port) as proxy:
            server.stop()
            with self.client(proxy) as client:
                assert self.is_closed(client)
            server.start()
            with self.client(proxy) as client:
                assert self.ask(client, "PING") == b"+PONG\r\n"
                assert proxy.connections == 1
