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

import pymysql
import pytest
import redis

from tests.conftest import OwnMariaDB, OwnRedis
from tests.support import wait
from tests.support.proxy import Proxy
from tests.support.servers import MariaDB, Redis, Valkey
from tests.support.topologies import Cluster, Sentinel
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


@pytest.mark.parametrize("kind", [Redis, Valkey])
def test_a_killed_redis_comes_back_with_what_it_acknowledged(
    own_redis: OwnRedis, kind: type[Redis]
) -> None:
    server = own_redis(kind, password="s3cret:/@")
    with redis.Redis.from_url(server.url) as client, redis.Redis.from_url(server.unix_url) as near:
        client.set("k", "v")
        server.restart(kill=True)
        assert near.get("k") == b"v"
        server.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_a_killed_mariadb_comes_back_with_what_it_acknowledged(own_mariadb: OwnMariaDB) -> None:
    server = own_mariadb()
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (n INT)")
        cursor.execute("INSERT INTO t VALUES (7)")
    server.restart(kill=True)
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT n FROM t")
        assert cursor.fetchall() == ((7,),)
    server.stop()
    with pytest.raises(pymysql.OperationalError):
        server.connect()


def test_a_frozen_server_answers_when_thawed(own_redis: OwnRedis) -> None:
    server = own_redis(durable=False)
    server.freeze()
    with socket.create_connection((server.host, server.port), timeout=0.2) as client:
        client.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            client.recv(100)
        server.thaw()
        client.settimeout(5)
        assert client.recv(100) == b"+PONG\r\n"


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


def test_a_sentinel_makes_the_replica_master(own_sentinel: Sentinel) -> None:
    with own_sentinel.master.client() as client:
        client.set("k", "v")
        client.execute_command("WAIT", 1, 5000)
    own_sentinel.master.kill()

    def promoted() -> bool:
        with own_sentinel.replica.client() as client:
            try:
                return client.info("replication")["role"] == "master"
            except redis.ConnectionError:  # Sentinel closes the clients of one it promotes
                return False

    until(promoted, 20, "the replica to be master")
    with own_sentinel.replica.client() as client:
        assert client.get("k") == b"v"


def test_a_cluster_takes_every_key(own_cluster: Cluster) -> None:
    node = own_cluster.nodes[0]
    with redis.RedisCluster(host=node.host, port=node.port) as client:
        for key in "abcdef":
            client.set(key, key)
        assert sum(n.client().dbsize() for n in own_cluster.nodes) == 6


@pytest.mark.parametrize("engine", ["redis", "valkey", "mariadb"])
def test_shared_servers_answer(engine: str, request: pytest.FixtureRequest) -> None:
    server: Redis | MariaDB = request.getfixturevalue(f"{engine}_server")
    assert server.answers()


def test_engine_urls_name_their_engine(engine_url: str, namespace: str) -> None:
    assert engine_url.startswith(("redis://127", "mysql://root@127", "sqlite:////"))
    assert len(namespace) == 13


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

    def test_cut_and_heal(self, proxy: Proxy) -> None:
        with self.client(proxy) as client:
            assert self.ask(client, "PING") == b"+PONG\r\n"
            proxy.cut()
            assert self.is_closed(client)
            with pytest.raises(ConnectionRefusedError):
                self.client(proxy)
        proxy.heal()
        with self.client(proxy) as client:
            assert self.ask(client, "PING") == b"+PONG\r\n"

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

    def test_replies_dropped(self, proxy: Proxy, redis_server: Redis, namespace: str) -> None:
        with self.client(proxy) as client, redis_server.client() as direct:
            proxy.drop_replies()
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                self.ask(client, f"INCR {namespace}")
            assert direct.get(namespace) == b"1"

    def test_next_reply_dropped(self, proxy: Proxy, redis_server: Redis, namespace: str) -> None:
        with self.client(proxy) as victim, self.client(proxy) as other:
            dropped = proxy.drop_next_reply(containing=b"INCR")
            assert self.ask(other, "PING") == b"+PONG\r\n"
            victim.sendall(f"INCR {namespace}\r\n".encode())
            assert dropped.wait(60)
            assert self.is_closed(victim)
            assert self.ask(other, f"INCR {namespace}") == b":2\r\n"

    def test_next_request_dropped(self, proxy: Proxy, namespace: str) -> None:
        with self.client(proxy) as victim, self.client(proxy) as other:
            dropped = proxy.drop_next_request(containing=b"INCR")
            victim.sendall(f"INCR {namespace}\r\n".encode())
            assert dropped.wait(60)
            assert self.is_closed(victim)
            assert self.ask(other, f"INCR {namespace}") == b":1\r\n"

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
