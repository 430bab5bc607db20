"""PostgreSQL from Debian: `make servers`. It refuses root, so root starts it as user postgres."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.support.server import HOST, Server, binary
from tests.support.wait import until

USER = "postgres"  # of the system
AS_USER = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []


def program(name: str) -> Path:
    """The program of the newest version."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])
    )
    if not found:
        raise AssertionError(f"{name} is not installed: `make servers` installs it")
    return found[-1]


def is_installed() -> bool:
    return any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


def install_postgresql(folder: Path, *options: str) -> Path:
    """Make an empty PostgreSQL data folder with a database `poolq`, to be copied by each server.
    `options`: further ones of initdb."""
    data = folder / "data"
    _give(folder)
    _run(
        folder, program("initdb"), f"--pgdata={data}", "--username=poolq", "--auth=trust",
        "--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1", "--no-instructions",
        *options,
    )  # fmt: skip
    _run(
        folder, program("postgres"), "--single", "-F", "-D", data, "postgres",
        said="CREATE DATABASE poolq\n",
    )  # fmt: skip
    return data


def base_backup(folder: Path, primary: PostgreSQL) -> Path:
    """Copy a running server's data folder. A server that starts with the copy follows it."""
    data = folder / "data"
    _give(folder)
    _run(
        folder, program("pg_basebackup"), f"--pgdata={data}", f"--host={HOST}",
        f"--port={primary.port}", "--username=poolq", "--write-recovery-conf", "--checkpoint=fast",
        "--no-sync",
    )  # fmt: skip
    return data


def _give(folder: Path) -> None:
    """Give a folder to the user of the server, who must come through the one above it."""
    if AS_USER:
        folder.parent.chmod(0o711)
        shutil.chown(folder, USER, USER)


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def _run(folder: Path, *command: str | Path, said: str = "") -> None:
    done = subprocess.run(
        [binary("setpriv"), *AS_USER, "--", *command], cwd=folder, input=said, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


class PostgreSQL(Server):
    """A postgres with a superuser poolq without password and an empty database `poolq`.

    `template` is a folder made by `install_postgresql`. `durable` syncs every commit; without it a
    crash of the machine destroys the database, and tests run faster.
    """

    database = "poolq"
    privileges = AS_USER

    def __init__(
        self,
        folder: Path,
        template: Path,
        *,
        durable: bool = False,
        options: list[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        _give(folder)
        self._env = [f"{name}={value}" for name, value in (env or {}).items()]
        self.data = folder / "data"
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": folder,
            "fsync": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
            "max_connections": 300,
            "shared_buffers": "32MB",
            "max_wal_size": "64MB",
            "min_wal_size": "8MB",
            "log_line_prefix": "%m [%p] %a ",
        }
        self._options = [f"--{name}={value}" for name, value in settings.items()]
        self._options += options or []
        self.refill(template)

    def refill(self, template: Path) -> None:
        """Have the data of another folder."""
        subprocess.run(["rm", "-rf", self.data], check=True)
        subprocess.run(["cp", "-a", template, self.data], check=True)

    @property
    def url(self) -> str:
        return f"postgresql://poolq@{HOST}:{self.port}/{self.database}"

    def command(self) -> list[str]:
        return ["env", *self._env, str(program("postgres")), "-D", str(self.data), *self._options]

    def connect(self, database: str = database, **more: Any) -> psycopg.Connection:
        """Return a new autocommit connection; closing it is the caller's business."""
        return psycopg.connect(
            host=self.host, port=self.port, user="poolq", dbname=database, autocommit=True,
            connect_timeout=5, **more,
        )  # fmt: skip

    def answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def backends(self) -> list[psutil.Process]:
        """The processes that serve clients."""
        with suppress(psutil.NoSuchProcess):
            some = psutil.Process(self.pid).children()
            return [one for one in some if _command(one).startswith("postgres: poolq ")]
        return []

    def _end(self, how: signal.Signals) -> None:
        """TERM would wait until all clients have left. After -9, the backends live a moment longer,
        in which no other server may start."""
        backends: list[psutil.Process] = []
        if how == signal.SIGKILL and self.running:
            backends = psutil.Process(self.pid).children(recursive=True)
        super()._end(signal.SIGINT if how == signal.SIGTERM else how)
        until(lambda: not any(map(psutil.Process.is_running, backends)), 20, "the backends to end")

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGQUIT)  # with -9, it would leave a piece of shared memory behind
