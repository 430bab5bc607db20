"""No step, look or sweep examines more rows the more lines there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from poolq.engines.base import Settlement
from poolq.engines.mysql import MySQLEngine
from poolq.engines.mysql.session import MySQLSession
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.spans import GATE_SPAN
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.location import GATE_SLOT
from poolq.engines.sql.session import Query
from poolq.engines.sqlite import session as sqlite_session
from poolq.jobs.outcomes import ACK
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, Worker
from tests.support.by_hand import TYPED

SIZES = 100, 60_000
#: What a statement may examine, whatever waits: rows and, on SQLite, steps of its machine. The
#: look at 2,000 windows may examine more.
MOST_ROWS, MOST_STEPS = 1000, 10_000
OF_WINDOWS = 10
#: Steps of SQLite's machine between two counts.
GRAIN = 20
#: The queues in which the lines are, a part each.
QUEUES = ["due", "gates", "waiting", "paused", "paused gates", "released", "one released"]

ADD_LINES = "INSERT INTO {lines} (place, queue, slot, name, span, most, since) VALUES %s"
ADD_WINDOWS = "INSERT INTO {windows} (name, span, most, start, used, ends) VALUES %s"
ADD_JOBS = "INSERT INTO {jobs} (id, place, queue, due_at, taken, history, rules, body) VALUES %s"
#: How many rows one statement adds, and how many of the first lines of a queue have jobs.
ROWS, WITH_JOBS = 1000, 300


def add(engine: SQLEngine, sql: str, rows: list[str]) -> None:
    for at in range(0, len(rows), ROWS):
        text = sql % ", ".join(rows[at : at + ROWS])
        engine.session.transact(lambda tx, text=text: tx.later(Query(text)))  # type: ignore[misc]


def add_jobs(engine: SQLEngine, queue: str, places: list[str], rules: str = "NULL") -> None:
    """A job in each of these places, due in this order."""
    ids = (f"{QUEUES.index(queue)}{at:031}" for at in range(len(places)))
    rows = [
        f"('{id_}', '{place}', '{queue}', 5, 5, '', {rules}, 'x')"
        for id_, place in zip(ids, places, strict=True)
    ]
    add(engine, ADD_JOBS, rows)


def add_lines(
    engine: SQLEngine, queue: str, count: int, kind: str = "p", slot: int = 5, span: int = HOUR
) -> list[str]:
    """Lines whose limits have room. Returns their places."""
    keys = [f"{queue} {at:06}" for at in range(count)]
    rows = [f"('{kind}:{span}:{key}', '{queue}', {slot}, '{key}', {span}, 1, 1)" for key in keys]
    add(engine, ADD_LINES, rows)
    return [f"{kind}:{span}:{key}" for key in keys]


def add_windows(engine: SQLEngine, names: list[list[str]]) -> None:
    """Windows of gates that ended long ago, but have lines."""
    add(engine, ADD_WINDOWS, [f"('{key}', {span}, 1, 1, 1, 1)" for span, key in names])


def fill(engine: SQLEngine, size: int) -> None:
    part, gates = size // len(QUEUES), list[str]()
    for queue, slot, span in (
        ("due", 5, HOUR),
        ("gates", GATE_SLOT, GATE_SPAN),
        ("waiting", 2**59, HOUR),
        ("paused", 5, HOUR),
        ("paused gates", GATE_SLOT, GATE_SPAN),
    ):
        places = add_lines(engine, queue, part, slot=slot, span=span)
        gates = places if span == GATE_SPAN else gates
        add_jobs(engine, queue, places[:WITH_JOBS], f"""'[["{queue}",1,{span}]]'""")
    add_windows(engine, [place[len("p:") :].split(":", 1) for place in gates])
    add_jobs(engine, "released", add_lines(engine, "released", part, kind="r")[:WITH_JOBS])
    add_jobs(engine, "one released", add_lines(engine, "one released", 1, kind="r") * part)
    engine.pause("paused")
    engine.pause("paused gates")


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def opened_at(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, opened: OpenEngine
) -> Callable[[int], SQLEngine]:
    def open_for(size: int) -> SQLEngine:
        url = f"sqlite:///{tmp_path}/{size}.db"
        if request.param != "sqlite":
            url = request.getfixturevalue(f"{request.param}_server").url
        engine: SQLEngine = opened(url, f"{namespace}_{size}", migrate=True)
        return engine

    return open_for


#: How many entries of indexes and how many rows a transaction has read.
READ_SO_FAR = """SELECT SUM(pg_stat_get_xact_tuples_returned(oid)) FROM pg_class
    WHERE starts_with(relname, ?)"""


@contextmanager
def examined(engine: SQLEngine) -> Iterator[dict[str, int]]:
    """How many rows each statement examines meanwhile; on SQLite, steps of its machine."""
    found: dict[str, int] = {}

    def note(text: str, count: int) -> None:
        name = text.replace(engine.namespace, "")[:300]
        found[name] = max(count, found.get(name, 0))

    with pytest.MonkeyPatch.context() as patch:
        if isinstance(engine, MySQLEngine):
            patch.setattr(MySQLSession, "_send", _sending_each(MySQLSession._send, note))
        elif isinstance(engine, PostgreSQLEngine):
            patch.setattr(PostgreSQLSession, "send", _asking_each(PostgreSQLSession.send, note))
        else:
            patch.setattr(sqlite_session, "run", _counting_run(sqlite_session.run, note))
        yield found


def _sending_each(send: Any, note: Callable[[str, int], None]) -> Any:
    def asked(self: MySQLSession) -> int:
        found: list[Any] = []
        send(self, [b"SHOW SESSION STATUS LIKE 'Handler_read%'"], found)
        return sum(int(value) for _, value in found[0].rows)

    def send_each(self: MySQLSession, batch: list[bytes], results: list[Any]) -> None:
        idle = -asked(self) + asked(self)  # what asking examines
        for one in batch:
            before = asked(self)
            send(self, [one], results)
            note(one.decode(errors="replace"), asked(self) - before - idle)

    return send_each


def _asking_each(send: Any, note: Callable[[str, int], None]) -> Any:
    def ask(self: PostgreSQLSession, queries: Sequence[Any]) -> list[Any]:
        start = self.statements.texts["{jobs}"].strip('"').removesuffix("jobs")
        counted = Query(READ_SO_FAR, (start,))
        found = send(self, [asked for one in queries for asked in (counted, one, counted)])
        for at, one in enumerate(queries):
            before, after = (found[3 * at + part].rows[0][0] for part in (0, 2))
            note(self.statements.texts[one.sql].replace('"', ""), int(after - before))
        return [found[3 * at + 1] for at in range(len(queries))]

    return ask


def _counting_run(run: Any, note: Callable[[str, int], None]) -> Any:
    def count_run(raw: sqlite3.Connection, texts: Any, query: Any) -> Any:
        steps = 0

        def tick() -> int:
            nonlocal steps
            steps += 1
            return 0

        raw.set_progress_handler(tick, GRAIN)
        try:
            return run(raw, texts, query)
        finally:
            raw.set_progress_handler(None, 0)
            note(texts[query.sql], steps * GRAIN)

    return count_run


def work(engine: SQLEngine, worker: Worker, queues: list[str] | None) -> None:
    """A few steps and looks, as workers and keepers make them."""
    worker.queues = queues
    done: list[Settlement] = []
    for want in (1, 1, 20):
        claims = worker.step(*done, want=want).claims
        done = [Settlement(claim, ACK) for claim in claims]
    worker.step(*done)
    engine._load_due_states(queues)
    engine.wake(queues)
    if isinstance(engine, MySQLEngine):
        engine._wait_in_server(queues, 1, 0)


def test_what_is_examined_does_not_grow(opened_at: Callable[[int], SQLEngine]) -> None:
    for size in SIZES:
        engine = opened_at(size)
        fill(engine, size)
        worker = Worker(engine)
        with examined(engine) as costs:
            for queues in (None, *([queue] for queue in QUEUES), QUEUES, None):
                work(engine, worker, queues)
            engine.sweep(HOUR)
        set_ahead(engine)
        with examined(engine) as later:
            engine.beat("n1", b"")
            worker.claim()
        most = MOST_ROWS if isinstance(engine, TYPED) else MOST_STEPS
        grown = {
            name: count
            for name, count in (costs | later).items()
            if count > most * (OF_WINDOWS if "_windows WHERE ends" in name else 1)
        }
        assert not grown, f"{size}: {grown}"


def set_ahead(engine: SQLEngine) -> None:
    """Let the clock have gone back."""
    query = Query(f"UPDATE {{lines}} SET since = {2**60} WHERE queue = 'waiting'")
    engine.session.transact(lambda tx: tx.later(query))
