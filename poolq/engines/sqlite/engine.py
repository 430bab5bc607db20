"""The engine on SQLite, for a single host, whose clock replaces the server's."""

import os
import time
from pathlib import Path

from poolq.config.own_command import own_command
from poolq.engines.base import Check, Queues, ServerInfo
from poolq.engines.connections import Connections
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.queues.wakeups import take_wakeup
from poolq.engines.sql.session import Dialect, TemplateToken
from poolq.engines.sql.within import UserSQL
from poolq.engines.sqlite.checks import checks, server
from poolq.engines.sqlite.faults import IN_YOURS
from poolq.engines.sqlite.options import parse_url
from poolq.engines.sqlite.schema import SQLiteSchema
from poolq.engines.sqlite.session import SQLiteSession
from poolq.engines.transactions.connection import UserConnection
from poolq.errors import EngineUnavailable, StoreMissing, TransactionError
from poolq.jobs.clock import now


def _dialect(namespace: str) -> Dialect:
    return Dialect(
        now="poolq_now()",
        clock="poolq_now()",
        lock="",  # BEGIN IMMEDIATE has locked everything
        share="",
        skip="",
        turn=f"INDEXED BY {namespace}_jobs_turn",
        line=TemplateToken(f"INDEXED BY {namespace}_lines_{{}}".format),
        least="min",
        greatest="max",
        in_list="IN (SELECT value FROM json_each(?))",
        joined=TemplateToken(_joined),
        id="TEXT",
        text=TemplateToken("TEXT".format),
        bytes="BLOB",
        table="",
        clustered="WITHOUT ROWID",
        random="lower(hex(randomblob(16)))",
        user_now="?",
    )


def _joined(columns: str) -> str:
    values = " || ' ' || ".join(f"COALESCE({one}, '')" for one in columns.split(", "))
    return f"CAST({values} AS BLOB)"


class SQLiteEngine(SQLEngine):
    """`sqlite:///poolq.db` (relative), `sqlite:////var/lib/app/poolq.db?synchronous=FULL`."""

    exact_counts = SQLiteSession.counted
    user_sql = UserSQL("sqlite", clock=lambda: now())

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace, url, _dialect(namespace))
        self.options = parse_url(url)
        self.schema: SQLiteSchema = SQLiteSchema(self.options, self.texts, namespace)
        self._connections = Connections(self._connect, SQLiteSession.close)
        self._must_exist = False
        self._has_tables = False  # certainly

    def require_store(self) -> None:
        self._must_exist = True

    def _connect(self) -> SQLiteSession:
        if self._must_exist and not self.options.file.exists():
            raise StoreMissing(
                f"there is no database {self.options.file} yet; the first job or pool creates it"
            )
        return SQLiteSession(self.options, self.texts, self.schema)

    @property
    def session(self) -> SQLiteSession:
        return self._connections.get()

    def _check_database(self, connection: UserConnection) -> None:
        """Compare the files. To read an id would begin a snapshot, and then a transaction cannot
        write any more once others have written."""
        *_, read = connection.read("PRAGMA database_list") or [""]
        file, given = self.options.file, os.fsdecode(read or "")  # bytes with text_factory = bytes
        if not given or not file.exists() or not Path(given).samefile(file):
            raise TransactionError(
                f"{connection.label} is on {given or 'no file'}, and poolq's engine on {file}: let"
                " both use one file, or use poolq.after_commit"
            )
        if self._has_tables:
            return
        try:
            self.session.data_version()
        except EngineUnavailable as error:
            said = str(error).removesuffix(IN_YOURS)
            what = f"make poolq's tables before your transaction: run {own_command('db migrate')}"
            raise EngineUnavailable(f"{said}; {what}") from error
        self._has_tables = True

    def wait(self, queues: Queues, timeout: float) -> int:
        session = self.session
        end = time.monotonic() + timeout
        session.data_version()  # creates the log, if there is none
        session.watcher.begin()
        seen: tuple[int, int] | None = None
        next_due: int | None = None
        while True:
            data_version = session.data_version()
            if data_version != seen or (next_due is not None and now() >= next_due):
                seen = data_version
                found, later, _ = self._load_due_states(queues)
                jobs, next_due = take_wakeup(session, found, later, self._woken)
                if jobs:
                    return jobs
            left = end - time.monotonic()
            if left <= 0:
                return 0
            soon = left if next_due is None else min(left, max(0.0, (next_due - now()) / 1e6))
            session.watcher.pause(soon)

    def now(self) -> int:
        self.session.data_version()  # a ping
        return now()

    def server(self) -> ServerInfo:
        return server(self.session)

    def doctor(self) -> list[Check]:
        return checks(self.session, self.schema)

    def close(self) -> None:
        self._connections.drop()
