"""The SQLite file of a process that runs tests, and the engine on it.

All tests of the process use one file, which is emptied for each, since making the tables takes
longer than most tests. It ends with the process.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from poolq import config
from poolq.config import Config
from poolq.engines.base import Push
from poolq.engines.sql.claims.admitting import LastClaims
from poolq.engines.sql.location import GATE_SLOT
from poolq.engines.sql.queues import queue_discovery
from poolq.engines.sql.session import TABLES, Query
from poolq.engines.sql.within import require_transaction
from poolq.engines.sqlite import SQLiteEngine
from poolq.engines.transactions.connection import UserConnection
from poolq.jobs import clock
from poolq.jobs.message import Message, decode


class Dispatched(NamedTuple):
    """A job that was dispatched. `due`: from when on it may start. `headers`: see
    `poolq.on.dispatch`."""

    job: str
    payload: dict[str, Any]
    id: str
    queue: str
    due: datetime
    headers: dict[str, str]
    at: int  # microseconds since the epoch
    due_at: int
    message: Message


class NotingEngine(SQLiteEngine):
    """Notes what is stored, in order. What gave way to another job is not stored."""

    commits_early = True

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.dispatched: list[Dispatched] = []

    def push(self, pushes: Sequence[Push]) -> list[str]:
        holders = super().push(pushes)
        now = clock.now()
        for push, holder in zip(pushes, holders, strict=True):
            if holder == push.id:
                self.dispatched.append(_noted(push, now))
        return holders

    def within(
        self,
        connection: UserConnection,
        notify: bool = True,  # noqa: ARG002  # nobody waits
    ) -> Callable[[Sequence[Push]], object]:
        """Store jobs here after the commit, as the database is another one; at once if the layer
        does not tell when it commits."""

        def store(pushes: Sequence[Push]) -> None:
            require_transaction(connection)
            if not connection.keep(pushes):
                self.push(pushes)

        return store

    def due(self) -> tuple[bool, int | None]:
        """Return whether a step may claim something now, and when more comes due; None if nothing
        does that waits for a time."""
        found = queue_discovery.look(self.session.read, self.session.skips)
        later = found.next_due()
        came = any(at <= found.now for at in (*found.delayed.values(), *found.slots.values()))
        is_gate = later is not None and later >= GATE_SLOT
        return came or bool(found.ready), None if is_gate else later

    def empty(self) -> None:
        """Delete all that is stored, and what this object remembers of it."""
        names = [name for name in TABLES if name != "schema"]
        deletes = [Query(f"DELETE FROM {{{name}}}") for name in names]  # noqa: S608  # our own names
        self.session.transact(lambda tx: tx.later(*deletes))
        self.session.known_queues.clear()
        self._cursors.forget()
        self._last_claims = LastClaims()
        self.dispatched = []


def _noted(push: Push, now: int) -> Dispatched:
    message, due_at = decode(push.body), max(now, push.at or now + push.delay)
    where = (message.job, message.payload, push.id, push.queue)
    due = datetime.fromtimestamp(due_at / 1e6, UTC)
    return Dispatched(*where, due, message.headers or {}, now, due_at, message)


def engine() -> NotingEngine:
    """Return the engine of this process, which has no job."""
    opened = _opened(os.getpid())
    opened.empty()
    return opened


@lru_cache  # in a child, too, its parent's is kept
def _opened(pid: int) -> NotingEngine:
    folder = tempfile.mkdtemp(prefix="poolq-tests-")
    # Nothing is to survive the computer, so nothing is to wait for its disk.
    opened = NotingEngine(f"sqlite:///{folder}/poolq.db?synchronous=OFF", "poolq")
    atexit.register(_remove, opened, folder, pid)
    return opened


def settings(engine: NotingEngine) -> Config:
    """Return the settings of the application, with this engine. Raises ConfigError."""
    own = frozenset((name, os.environ[name]) for name in os.environ if name.startswith("POOLQ_"))
    return _settings(engine.url, os.getcwd(), own)  # noqa: PTH109  # Path.cwd() takes longer


@lru_cache  # reading the files takes longer than most tests
def _settings(engine: str, _folder: str, _variables: frozenset[tuple[str, str]]) -> Config:
    return config.load_in_application({"engine": engine}, place="poolq.testing")


def _remove(opened: NotingEngine, folder: str, pid: int) -> None:
    if os.getpid() == pid:  # a child may end as its parent does
        opened.close()
        shutil.rmtree(folder, ignore_errors=True)
