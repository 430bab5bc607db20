"""PgBouncer from Debian, in front of a PostgreSQL: `make servers`. It refuses root, too."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg

from tests.support.postgresql import AS_USER, USER, PostgreSQL
from tests.support.server import HOST, Server, binary

#: Few sessions, which many clients share.
SETTINGS = """[databases]
{databases} = host={host} port={port}
[pgbouncer]
listen_addr = {listen}
listen_port = {own_port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
default_pool_size = {size}
max_prepared_statements = {prepared}
"""


class PgBouncer(Server):
    """`mode`: transaction or session. `prepared`: how many statements it keeps for each client.
    `size`: how many sessions its clients share. `databases`: which one it knows, * for all."""

    privileges = AS_USER

    def __init__(
        self,
        folder: Path,
        behind: PostgreSQL,
        mode: str,
        prepared: int = 0,
        size: int = 0,
        databases: str = "*",
    ) -> None:
        super().__init__(folder)
        users = folder / "users.txt"
        users.write_text('"poolq" ""\n')
        self._file = folder / "pgbouncer.ini"
        self._file.write_text(
            SETTINGS.format(
                host=behind.host, port=behind.port, listen=self.host, own_port=self.port,
                users=users, mode=mode, prepared=prepared, databases=databases,
                size=size or (5 if mode == "transaction" else 100),
            )
        )  # fmt: skip
        if AS_USER:
            folder.parent.chmod(0o711)
            for path in (folder, users, self._file):
                shutil.chown(path, USER, USER)

    @property
    def url(self) -> str:
        return f"postgresql://poolq@{HOST}:{self.port}/{PostgreSQL.database}"

    def command(self) -> list[str]:
        return [binary("pgbouncer"), str(self._file)]

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True
