"""The servers that poolq stores jobs on: Redis, Valkey, MariaDB."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pymysql
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.server import HOST, Server, binary

KEY, CERTIFICATE = "key.pem", "cert.pem"  # beside MariaDB's template


class Redis(Server):
    """A redis-server (or another program of its kind).

    `durable` writes and syncs every command before it is answered, so that nothing
    acknowledged is lost in a kill; without it a restart begins empty. `config` holds further
    lines of redis.conf by name.
    """

    program = "redis-server"

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = False,
        password: str | None = None,
        maxmemory: str | None = None,
        config: dict[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self.password = password
        self.socket = folder / "sock"
        self._config = {
            "save": "",
            "appendonly": "yes" if durable else "no",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "yes",
        }
        if password is not None:
            self._config["requirepass"] = password
        if maxmemory is not None:
            self._config["maxmemory"] = maxmemory
        self._config |= config or {}

    @property
    def _user(self) -> str:
        return "" if self.password is None else f":{quote(self.password, safe='')}@"

    @property
    def url(self) -> str:
        return f"redis://{self._user}{self.host}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The same database through the server's unix socket."""
        return f"unix://{self._user}{self.socket}?db=0"

    def reconfigure(self, name: str, value: str) -> None:
        """A line of redis.conf, from the next start on."""
        self._config[name] = value

    def command(self) -> list[str]:
        words = [binary(self.program), "--bind", self.host, "--port", str(self.port)]
        words += ["--dir", str(self.folder), "--unixsocket", str(self.socket)]
        for name, value in self._config.items():
            words += [f"--{name}", value]
        return words

    def client(self) -> redis.Redis:
        """Return a new client that never tries twice; closing it is the caller's business."""
        return redis.Redis(
            host=self.host,
            port=self.port,
            password=self.password,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )

    def answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):  # BusyLoadingError is one
                return False


class Valkey(Redis):
    """A valkey-server."""

    program = "valkey-server"


def install_mariadb(folder: Path) -> Path:
    """Make an empty MariaDB data folder, to be copied by each server: 0.6 s against 0.05 s."""
    data = folder / "data"
    certify(folder)
    command = [binary("mariadb-install-db"), "--no-defaults", f"--datadir={data}"]
    command += [f"--tmpdir={folder}"]  # in /tmp it would delete the temporary files of others
    command += ["--auth-root-authentication-method=normal", "--skip-test-db", *_mariadb_options()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
    return data


def certify(folder: Path) -> None:
    """Make the server's certificate there. Without it, each start makes an RSA key, which takes a
    second, and each connection waits for a signature with it."""
    import trustme  # which takes a third of a second

    issued = trustme.CA().issue_cert(HOST)
    issued.private_key_pem.write_to_path(folder / KEY)
    issued.cert_chain_pems[0].write_to_path(folder / CERTIFICATE)


def _mariadb_options() -> list[str]:
    options = ["--skip-name-resolve", "--innodb-log-file-size=8M"]
    return [*options, "--user=root"] if os.geteuid() == 0 else options


class MariaDB(Server):
    """A mariadbd with a user root without password and an empty database `poolq`.

    `template` is a folder made by `install_mariadb`. `durable` syncs every commit; without it
    a kill loses up to a second of them, and tests run faster. `waits_in_server`: it can wait
    for jobs by itself.
    """

    database = "poolq"
    waits_in_server = True

    def __init__(
        self,
        folder: Path,
        template: Path,
        *,
        durable: bool = False,
        options: list[str] | None = None,
    ) -> None:
        super().__init__(folder)
        self.socket = folder / "sock"
        self._data = folder / "data"
        self._template = template
        self._options = [f"--innodb-flush-log-at-trx-commit={int(durable)}", *(options or [])]
        shutil.copytree(template, self._data)

    @property
    def url(self) -> str:
        return f"mysql://root@{self.host}:{self.port}/{self.database}"

    @property
    def plain_url(self) -> str:
        """The same without TLS."""
        return f"{self.url}?ssl=false"

    def command(self) -> list[str]:
        return [binary("mariadbd"), *self._common(), *_mariadb_options(), *self._options]

    def _common(self) -> list[str]:
        """What a MySQL server understands too."""
        return [
            "--no-defaults",
            f"--datadir={self._data}",
            f"--socket={self.socket}",
            f"--port={self.port}",
            f"--bind-address={self.host}",
            f"--pid-file={self.folder / 'pid'}",
            f"--tmpdir={self.folder}",
            "--innodb-buffer-pool-size=32M",
            "--performance-schema=OFF",
            "--max-connections=300",
            "--max-allowed-packet=16M",
            f"--ssl-key={self._template.with_name(KEY)}",
            f"--ssl-cert={self._template.with_name(CERTIFICATE)}",
        ]

    def connect(self, database: str | None = database) -> pymysql.connections.Connection:
        """Return a new autocommit connection; closing it is the caller's business."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user="root",
            database=database,
            autocommit=True,
            ssl_disabled=True,  # its set-up takes longer than most of what is asked
            connect_timeout=5,
            read_timeout=10,
            write_timeout=10,
        )

    def answers(self) -> bool:
        try:
            connection = self.connect(database=None)
        except pymysql.OperationalError:
            return False
        with connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{self.database}` CHARACTER SET utf8mb4")
        return True
