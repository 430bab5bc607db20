"""A PostgreSQL primary and its standby, which can take its place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Self

from tests.support.fake_clock import fake_clock
from tests.support.postgresql import PostgreSQL, base_backup
from tests.support.scratch import Scratch
from tests.support.topologies import Topology
from tests.support.wait import until

#: The primary keeps what a standby that was cut off for a moment has not got.
OPTIONS = ["--wal_keep_size=256MB", "--wal_retrieve_retry_interval=100ms"]
#: Whether nothing is received, and nothing is left to be replayed.
AT_ITS_END = """SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)
    AND wait_event = 'RecoveryRetrieveRetryInterval'
    FROM pg_stat_activity WHERE backend_type = 'startup'"""
STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


class Standby(Topology):
    """`primary` and `standby`, which gets each write a moment later. `ahead`: by how many seconds
    the clock of the first standby is wrong."""

    def __init__(self, scratch: Scratch, template: Path, ahead: float = 0.0) -> None:
        super().__init__(scratch)
        self._template = template
        self._env = fake_clock(ahead) if ahead else None

    def start(self) -> Self:
        made = PostgreSQL(self._folder("primary"), self._template, durable=True, options=OPTIONS)
        self.primary = self._stack.enter_context(made)
        self.ports = [self.primary.port]
        self.standby = self._stack.enter_context(self._copied())
        self.ports.append(self.standby.port)
        until(self.streams, 30, "the standby to follow its primary")
        return self

    @property
    def url(self) -> str:
        hosts = ",".join(f"{self.primary.host}:{port}" for port in self.ports)
        return f"postgresql://poolq@{hosts}/{PostgreSQL.database}"

    def streams(self) -> bool:
        with self.primary.connect() as raw:
            return raw.execute(STREAMS).fetchall() == [(1,)]

    def has_all(self) -> bool:
        """Whether the standby shows all that the primary has committed."""
        with self.primary.connect() as raw, self.standby.connect() as other:
            ((written,),) = raw.execute("SELECT pg_current_wal_lsn()").fetchall()
            shown = "SELECT pg_last_wal_replay_lsn() >= %s"
            return other.execute(shown, [written]).fetchall() == [(True,)]

    def cut_off(self) -> None:
        """Let the standby get nothing more."""
        with self.standby.connect() as raw:
            raw.execute("ALTER SYSTEM SET primary_conninfo = ''")
            raw.execute("SELECT pg_reload_conf()")

    def is_at_its_end(self) -> bool:
        """Whether the standby shows all that it has got."""
        with self.standby.connect() as raw:
            return raw.execute(AT_ITS_END).fetchall() == [(True,)]

    def promote(self) -> None:
        """Make the standby the primary, instead of the one that is dead."""
        with self.standby.connect() as raw:
            assert raw.execute("SELECT pg_promote()").fetchall() == [(True,)]
        self.primary, self.standby = self.standby, self.primary

    def follow(self) -> None:
        """Make a standby of what was the primary."""
        copy = base_backup(self._folder("copy"), self.primary)
        self.standby.refill(copy)
        shutil.rmtree(copy)
        self.standby.start()
        until(self.streams, 60, "the old primary to follow the new one")

    def _copied(self) -> PostgreSQL:
        copy = base_backup(self._folder("copy"), self.primary)
        return PostgreSQL(
            self._folder("standby"), copy, durable=True, options=OPTIONS, env=self._env
        )

    def _folder(self, name: str) -> Path:
        return self._scratch.folder(name)


def acknowledged(dead: PostgreSQL, folder: Path) -> PostgreSQL:
    """A server, still to be entered, with all that a dead one had written."""
    copy = PostgreSQL(folder, dead.data)
    (copy.data / "postmaster.pid").unlink()
    return copy
