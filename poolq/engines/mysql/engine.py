"""The engine on MySQL and MariaDB, through PyMySQL."""

import time
from collections.abc import Sequence

import pymysql

from poolq.engines.base import Check, Claim, Push
from poolq.engines.connections import Connections
from poolq.engines.mysql.admitting import at_once
from poolq.engines.mysql.checks import checks, refuse
from poolq.engines.mysql.connecting import connect
from poolq.engines.mysql.dozing import doze
from poolq.engines.mysql.faults import word
from poolq.engines.mysql.literals import Statements
from poolq.engines.mysql.options import options
from poolq.engines.mysql.schema import MySQLSchema
from poolq.engines.mysql.session import MySQLSession
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.schema import check_namespace, check_version
from poolq.engines.sql.session import Dialect
from poolq.engines.sql.waking import news
from poolq.errors import EngineError, EngineUnavailable
from poolq.jobs.limits import Admission, Rule

#: Seconds between two looks for something to do; where a look takes long, so many times that.
LOOK = 0.05
SHARE = 20
#: Seconds that the server looks by itself, well below those that a connection may be silent.
LONGEST = 1.0
#: Seconds after which a claim looks again at what InnoDB has left at the head of a queue.
FRESH = 0.1


class _On:
    def __format__(self, _: str) -> str:
        return "ON DUPLICATE KEY UPDATE"


class _New:
    def __format__(self, column: str) -> str:
        return f"VALUES({column})"


class _Line:
    def __format__(self, name: str) -> str:
        return f"FORCE INDEX ({name})"


DIALECT = Dialect(
    now="CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)",
    lock="FOR UPDATE",
    skip="FOR UPDATE SKIP LOCKED",
    turn="FORCE INDEX (turn)",
    by_id="FORCE INDEX (PRIMARY)",
    line=_Line(),
    least="LEAST",
    list="?",
    claims="GROUP_CONCAT(id, ' ', request, ' ', idx)",
    counted=MySQLSession.counted,
    on=_On(),
    new=_New(),
)


class MySQLEngine(SQLEngine):
    """`mysql://user:password@host:3306/database?ssl_ca=…&unix_socket=…`; mariadb:// is the same.

    `_gone` holds the names of connections that were lost, for whichever thread connects next to
    have them ended.
    """

    def __init__(self, url: str, namespace: str) -> None:
        check_namespace(namespace)
        self.options = options(url)
        super().__init__(url, namespace, self.options.shown, DIALECT, FRESH)
        self.schema: MySQLSchema = MySQLSchema(self.options, self.texts, namespace)
        self._statements = Statements(self.texts)
        self._gone: list[str] = []
        self._dozes = True
        self._connections = Connections(self._connect, MySQLSession.close, self._alive)

    def _connect(self) -> MySQLSession:
        gone = self._gone[:]
        try:
            opened = connect(self.options, gone)
            version = self.schema.read(opened.raw)
        except pymysql.Error as error:
            failed = word(error, self.options)
            if isinstance(failed, EngineUnavailable):
                failed.maybe_stored = False
            raise failed from error
        for name in gone:
            if name in self._gone:
                self._gone.remove(name)
        session = MySQLSession(
            opened, self.options, self._statements, self._lose, self._connections.used
        )
        try:
            check_version(version, self.shown)
        except BaseException:
            session.close()
            raise
        return session

    def _alive(self, session: MySQLSession) -> bool:
        alive = session.alive()
        if not alive:
            self._gone.append(session.name)
        return alive

    def _lose(self, session: MySQLSession) -> None:
        self._gone.append(session.name)
        self._connections.drop()

    @property
    def session(self) -> MySQLSession:
        session = self._connections.get()
        if session.busy or session.silent() or session.alive():
            return session
        self._lose(session)
        return self._connections.get()

    def push(self, pushes: Sequence[Push]) -> None:
        stored = 0
        try:
            session = self.session
            session.know({one.queue for one in pushes})
            for statement, count in session.inserts(pushes):
                session.push(statement)
                stored += count
        except EngineUnavailable as error:
            error.ids = tuple(one.id for one in pushes[stored:])
            raise

    def admit(self, rules: Sequence[Rule], held: tuple[str, Claim] | None = None) -> Admission:
        plain = held is not None and len(rules) == 1 and not held[1].reviewed
        if held and plain and self.session.change(at_once(rules[0], *held)):
            return Admission(0)
        return super().admit(rules, held)

    def wait(self, queues: Sequence[str] | None, timeout: float) -> int:
        end = time.monotonic() + timeout
        while True:
            began = time.monotonic()
            session = self.session
            found, later, clock = self._look(queues)
            told, due = news(session, found, later)
            if told:
                return told
            now = time.monotonic()
            if now >= end:
                return 0
            took = now - began
            pause = max(LOOK, SHARE * took)
            rest = end - now
            if due is not None:
                rest = min(rest, max(0.001, (due - clock) / 1e6))
            turns = int(min(rest, LONGEST) / (pause + took))
            if turns < 2 or any(one.waits for one in found) or not self._doze(queues, turns, pause):
                time.sleep(min(pause, rest))

    def _doze(self, queues: Sequence[str] | None, turns: int, pause: float) -> bool:
        """False if this server cannot, which is asked once."""
        try:
            if self._dozes:
                self.session.read(doze(queues, turns, pause))
        except EngineUnavailable:
            raise
        except EngineError:
            self._dozes = False
        return self._dozes

    def starting(self) -> list[str]:
        refuse(self.session, self.shown)
        return []

    def doctor(self) -> list[Check]:
        return checks(self.session, self.schema)

    def close(self) -> None:
        self._connections.drop()
