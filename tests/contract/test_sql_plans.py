"""The servers' plans for the hot statements: by an index, and without sorting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest

from poolq.engines.base import Claim, Settlement
from poolq.engines.mysql import MySQLEngine
from poolq.engines.mysql.engine import admit_queries
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.session import MARK_CLAIMED
from poolq.engines.postgresql.wake_tokens import TAKE_TOLD
from poolq.engines.sql import job_counters
from poolq.engines.sql.administration import paging, queue_counts, stored_jobs
from poolq.engines.sql.claims import cancelling, claiming, recovery, settling, stepping
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.limits import (
    concurrent_slots,
    deploys,
    granting,
    holds,
    limit_windows,
    parking,
)
from poolq.engines.sql.location import claimed_by
from poolq.engines.sql.queues import queue_discovery, wakeups
from poolq.engines.sql.session import Query
from poolq.engines.sqlite import SQLiteEngine
from poolq.jobs.limits import Gate, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import Bury
from tests.contract.helpers import HOUR, Worker, full, park, push
from tests.support.postgresql import PostgreSQL

PLACE = claimed_by("w1")
#: Statements of the hot path and of regular maintenance, with suitable arguments.
HOT = {
    "claim": Query(claiming.CLAIM_READY, ("q", 100)),
    "claim of what came due": Query(claiming.CLAIM_DUE, ("q", 100)),
    "lock the worker": Query(stepping.LOCK_WORKER, ("w1",)),
    "answer": Query(stepping.SAVE_ANSWER, (1, b"", "w1")),
    "what is held": Query(settling.HELD_CLAIMS, (["a", "b"], PLACE)),
    "ack": Query(settling.DELETE_JOBS, (["a", "b"],)),
    "give back": Query(settling.GIVE_BACK_JOBS, (["a", "b"],)),
    "release": Query(settling.RELEASE_JOB, ("d", 1, 0, 0, 0, b"", "a")),
    "state": queue_discovery.state_query(["q", "r"]),
    "state and next queue": Query(queue_discovery.STATE_AND_NEXT, ("p", "q")),
    "latest": Query(wakeups.LATEST_READY, ("q", 1)),
    "latest that came due": Query(wakeups.LATEST_DELAYED, ("q", 1)),
    "latest slot": Query(wakeups.LATEST_SLOT, ("q",)),
    "next": Query(wakeups.NEXT_DELAYED, ("q",)),
    "how many are ready": Query(wakeups.COUNT_WAKEUPS, ("q", 1)),
    "wake-ups": wakeups.wakeups_query("q", 1, 1),
    "put wake-ups back": Query(wakeups.ARM, (["q", "r"],)),
    "take the wake-up": Query(wakeups.TAKE_WAKEUP, (1, 1, "q", 1)),
    "void lines": Query(queue_discovery.VOID_LINES),
    "a void slot": Query(queue_discovery.VOID_SLOT, ("p:1:k", "q")),
    "released jobs whose window has ended": Query(parking.RELEASED_NOW, ("r:1:k", "q", 1, 9)),
    "released jobs far ahead": Query(parking.RELEASED_AHEAD, ("r:1:k", "q", 1, 9)),
    "released jobs that are left": Query(parking.FIRST_RELEASED, ("r:1:k", "q")),
    "bring back": Query(parking.BRING_BACK, (["a", "b"],)),
    "a line to be asked": Query(deploys.LOCK_OLD_LINE, ("q", 1)),
    "heads of a line": Query(granting.LOCK_HEADS, ("p:1:k", "q", 50)),
    "a counter": Query(limit_windows.LOCK_WINDOW, ("k", 1)),
    "a hold that may be over": Query(holds.HOLD_OF, ("k",)),
    "windows of a hold": Query(holds.NOTE_HOLD, ("k", "k")),
    "a hold": Query(holds.HELD_UNTIL, ("k",)),
    "a claim": settling.claim_clock("w1", Claim("a", 1, 0, "q", b"", State()), ()),
    "a claim whose limit has released jobs": settling.claim_clock(
        "w1", Claim("a", 1, 0, "q", b"", State()), [Rule("k", 5, 1)]
    ),
    "a gate": Query(concurrent_slots.READ_GATE, ("w", "k", "k", "k")),
    "first lines of gates": Query(concurrent_slots.FIRST_LINES, ("q", 8)),
    "a claim under a gate": settling.claim_clock(
        "w1", Claim("a", 1, 0, "q", b"", State()), (), [Gate("k", 5)]
    ),
    "a slot that is free": Query(concurrent_slots.FREE_SLOT, ("k", "a", PLACE, 1, 0)),
    "due lines": parking.due_lines("q"),
    "a line of a gate": Query(concurrent_slots.LOCK_GATE_LINE, ("p:1:k", "q")),
    "old counters": Query(limit_windows.ENDED_WINDOWS, (1, 1, "k")),
    "an old counter": Query(limit_windows.DELETE_WINDOW, ("k", 1)),
    "open limits": Query(queue_counts.OPEN_WINDOWS),
    "claims of the dead": Query(recovery.WORKER_CLAIMS, (PLACE, PLACE + "!")),
    "cancelled claims": Query(cancelling.CANCELLED_CLAIMS, ([PLACE + "!", "w:w2!"],)),
    "workers of a node": Query(cancelling.WORKERS_OF_NODE, ("n1",)),
    "failed": Query(
        stored_jobs.SELECT_FAILED + paging.FAILED_AFTER + stored_jobs.NEWEST_FIRST,
        (2**60, 2**60, "~", 10),
    ),
    "failed of a queue": Query(
        stored_jobs.SELECT_FAILED
        + paging.FAILED_AFTER
        + paging.OF_QUEUE
        + stored_jobs.NEWEST_FIRST,
        (2**60, 2**60, "~", "q", 10),
    ),
    "a page": Query(paging.NEXT_JOBS, ("", "q", 0, 2**60, 5, "a", 10)),
    "jobs of a page": Query(paging.JOBS_BY_ID, (["a", "b"],)),
    "ids": Query(paging.IDS, ("ab", "ab~", 10)),
    "failed ids": Query(paging.FAILED_IDS, ("ab", "ab~", 10)),
    "returned jobs to purge": Query(stored_jobs.RETURNED_JOBS, ("q", 0)),
    "jobs to purge": Query(stored_jobs.READY_JOBS, ("q", 0)),
    "parked jobs to purge": Query(stored_jobs.JOBS_IN_LINES, ("q", 0)),
    "find": Query(stored_jobs.FIND_JOB, ("a",)),
}
CLAIM = Claim("a", 1, 0, "q", b"", State())
ADMIT, _ = admit_queries(Rule("k", 5, 1), "w1", CLAIM)
#: InnoDB and PostgreSQL keep deleted entries, so claims begin behind them there.
BEHIND = Query(claiming.CLAIM_READY_AFTER, ("q", 1, "a", 1, 100))
DUE_BEHIND = Query(claiming.CLAIM_DUE_AFTER, ("q", 1, "a", 1, 100))
RETURNED = Query(claiming.CLAIM_RETURNED, ("q", 100))
RETURNED_BEHIND = Query(claiming.CLAIM_RETURNED_AFTER, ("q", 1, "a", 1, 100))
GATE = Gate("k", 5)
HAND_ON = concurrent_slots.hand_on(GATE, CLAIM, "w1", CLAIM, has_ended=False)
BEHIND_THEM = {"claim behind": BEHIND, "came due behind": DUE_BEHIND}
ONLY_MYSQL = {
    **BEHIND_THEM,
    "an admission": ADMIT,
    "a slot handed on": HAND_ON,
}


#: The names of PostgreSQL's types, by OID.
TYPE_NAMES = {17: "bytea", 20: "bigint", 25: "text"}


def fill(engine: SQLEngine) -> None:
    """Fill every table, so that a full scan would be a bad plan."""
    worker = Worker(engine)
    push(engine, *map(str, range(3000)))
    push(engine, *map(str, range(1000)), queue="r", delay=HOUR)
    push(engine, *map(str, range(1000)), delay=HOUR)
    claims = worker.claim(500)
    told = State(1, history=b"x" * 1000)  # so that a full scan is a bad plan
    worker.step(*(Settlement(claim, Bury(told)) for claim in claims[:400]))
    park(worker, "a", "b", rules=[full(engine)])
    for number in range(300):
        engine.pause(f"queue {number}")


@pytest.fixture
def mysql(mysql: MySQLEngine) -> MySQLEngine:
    fill(mysql)
    mysql.session.read(
        *(Query(f"ANALYZE TABLE {{{table}}}") for table in ("jobs", "failed", "queues", "lines"))
    )
    return mysql


@pytest.fixture
def sqlite(sqlite: SQLiteEngine) -> SQLiteEngine:
    fill(sqlite)
    return sqlite


def explained(mysql: MySQLEngine, op: Query) -> list[tuple[str, str, str, str]]:
    """For each table: the kind of lookup, the index, the length used, and extra steps. The first of
    the `released` jobs is a table of one row, which has no index."""
    (plan,) = mysql.session.read(Query(f"EXPLAIN FORMAT=TRADITIONAL {op.sql}", op.args))
    found = []
    for row in plan.rows:
        if len(row) == 12:  # MySQL, which tells of partitions and of what is filtered
            _, _, table, _, kind, _, key, length, _, _, _, extra = row
        else:
            _, _, table, kind, _, key, length, _, _, extra = row
        if not str(table).startswith("<derived"):
            found.append((kind, key, length, extra))
    return found


def test_mariadb_uses_its_indexes_and_sorts_nothing(mysql: MySQLEngine) -> None:
    for name, op in {**HOT, **ONLY_MYSQL}.items():
        plan = explained(mysql, op)
        for kind, key, _, extra in plan:
            if key is None and kind is None:
                continue  # "no matching row": it was looked up by its primary key
            assert key is not None, f"{name}: {plan}"
            assert kind != "ALL", f"{name}: {plan}"
            assert "filesort" not in (extra or ""), f"{name}: {plan}"
            assert "temporary" not in (extra or ""), f"{name}: {plan}"


def test_mariadb_claims_by_the_whole_index(mysql: MySQLEngine) -> None:
    """By place and queue, by due_at where it matters, and after a job also by its id."""
    due = HOT["claim of what came due"]
    for op, columns in ((HOT["claim"], 2), (due, 3), (BEHIND, 4), (DUE_BEHIND, 4)):
        lengths = (1102, 257, 8, 32)  # bytes of each part of the index
        found = [(key, int(length)) for _, key, length, _ in explained(mysql, op)]
        assert found == [("turn", sum(lengths[:columns]))]


def test_sqlite_uses_its_indexes_and_sorts_nothing(sqlite: SQLiteEngine) -> None:
    for name, op in HOT.items():
        (plan,) = sqlite.session.read(Query(f"EXPLAIN QUERY PLAN {op.sql}", op.args))
        few = "SCAN released", "SCAN head", "SCAN CONSTANT ROW", "SCAN found"
        steps = [row[-1] for row in plan.rows if row[-1] not in few]
        assert steps, name
        for step in steps:
            scanned = step.startswith("SCAN") and "json_each" not in step
            assert not scanned or step.endswith("_failed_newest"), f"{name}: {steps}"
            assert "TEMP B-TREE" not in step, f"{name}: {steps}"


class Explained(NamedTuple):
    """PostgreSQL's plans, whatever the arguments are, on a connection like those of poolq."""

    raw: psycopg.Connection
    engine: PostgreSQLEngine

    def type_name(self, oid: int) -> str:
        found = self.raw.adapters.types[oid]
        return f"{found.regtype}[]" if oid == found.array_oid else found.regtype

    def plan(self, op: Query) -> dict[str, Any]:
        ((statement, _, _),) = self.engine.session.statements.bind(op)
        types = ", ".join(map(self.type_name, statement.types))
        given = ", ".join("NULL" for _ in statement.types)
        listed, nulls = (f"({one})" if one else "" for one in (types, given))
        self.raw.execute(f"PREPARE s {listed} AS {statement.sql.decode()}".encode())
        asked = f"EXPLAIN (FORMAT JSON) EXECUTE s {nulls}"
        found = self.raw.execute(asked.encode()).fetchone()
        self.raw.execute("DEALLOCATE s")
        assert found is not None
        plan: dict[str, Any] = found[0][0]["Plan"]
        return plan

    def first_columns(self) -> dict[str, str]:
        """The first column of each index."""
        return dict(
            self.raw.execute(
                """SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
                JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                WHERE starts_with(c.relname, %s)""",
                (self.engine.namespace,),
            ).fetchall()
        )


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for one in plan.get("Plans", ()):
        yield from nodes_of(one)


def faults(plan: dict[str, Any], first: dict[str, str]) -> Iterator[str]:
    for node in nodes_of(plan):
        kind = node["Node Type"]
        if kind in ("Seq Scan", "Sort", "Incremental Sort") or "Bitmap" in kind:
            yield f"{kind} {node.get('Relation Name', '')}"
        elif kind.startswith("Index"):
            index, cond = node["Index Name"], node.get("Index Cond", "")
            if not re.search(rf"\b{first[index]}\b", cond):
                yield f"{index}: {cond}"


#: Rows of each table that grows, with as many in each place.
MANY = """INSERT INTO {jobs} (id, place, queue, due_at, history, body, request)
    SELECT md5(i::text), (ARRAY['', 'd', 'w:w' || i % 50, 'p:1:k' || i % 300, 'r:1:k'])[i % 5 + 1],
        'q' || i % 500, i, '', '', i FROM generate_series(1, 100000) i;
INSERT INTO {failed} (id, queue, at, attempt, crashes, failing, history, body)
    SELECT md5(i::text), 'q' || i % 50, i, 1, 0, 0, '', '' FROM generate_series(1, 20000) i;
INSERT INTO {windows} (name, span, most, start, used, ends)
    SELECT 'k' || i, 1, 5, 1, 1, i FROM generate_series(1, 20000) i;
INSERT INTO {lines} (place, queue, slot, name, span, most)
    SELECT 'p:1:k' || i, 'q' || i % 500, i, 'k' || i, 1, 5 FROM generate_series(1, 20000) i"""


@pytest.fixture(params=["fresh", "analysed when empty", "full", "full and analysed", "many"])
def planned(
    request: pytest.FixtureRequest, postgresql: PostgreSQLEngine, postgresql_server: PostgreSQL
) -> Iterator[Explained]:
    settings = postgresql.options.settings.items()
    options = " ".join(f"-c {name}={value}" for name, value in settings if " " not in value)
    with postgresql_server.connect(options=options) as raw:
        if "full" in request.param:
            fill(postgresql)
        if request.param == "many":
            for statement in MANY.format_map(postgresql.texts.tokens).split(";"):
                raw.execute(statement.encode())
        if "analysed" in request.param or request.param == "many":
            raw.execute("ANALYZE")
        yield Explained(raw, postgresql)


def test_postgresql_uses_its_indexes_and_sorts_nothing(planned: Explained) -> None:
    first = planned.first_columns()
    floors = dict.fromkeys(["q", "r"], queue_discovery.Floors(1, 1, 1))
    states = queue_discovery.state_query(["q", "r"], floors)
    mark = Query(MARK_CLAIMED, (PLACE, 1, 1, 0, ["a"], ["a"]))
    ops = {**HOT, **BEHIND_THEM, "a slot handed on": HAND_ON}
    ops |= {"claims": mark, "state from a floor": states}
    ops["enough"] = Query(claiming.COUNT_READY, ("q", 1, 5))
    ops["how many have returned"] = Query(wakeups.COUNT_RETURNED, ("q", 1))
    ops["take the wake-up if told"] = Query(TAKE_TOLD, ("q", 1, "q", 1, "q", "q"))
    ops |= {"returned": RETURNED, "returned behind": RETURNED_BEHIND}
    ops["last answer"] = Query(stepping.LAST_ANSWER, ("w1", 1))
    ops["next answer"] = Query(stepping.REPLACE_ANSWER, (1, b"", "", "w1", 1))
    ops["queues that have rows"] = Query(queue_discovery.NAMED_QUEUES, ("q",))
    ops["an answer to delete"] = Query(recovery.DELETE_ANSWER, ("w1", "w1"))
    with_answers = recovery.WORKER_CLAIMS.replace(
        stepping.CLAIMS_OF_WORKER, stepping.CLAIMS_OF_ANSWER
    )
    ops["claims of the dead"] = Query(with_answers, (PLACE, PLACE + "!"))
    ops["counters to add up"] = Query(job_counters.APPENDED, (1,))
    ops["counters that were added up"] = Query(job_counters.DELETE_APPENDED, ([1, 2],))
    del ops["parked jobs to purge"]  # rare; if the tables seem to be empty, it may read all jobs
    found = {name: list(faults(planned.plan(op), first)) for name, op in ops.items()}
    # At most MAX_LOCKED lines, which are to be locked in one order and read in another.
    assert found.pop("due lines") == ["Sort ", "Sort "]
    assert not {name: some for name, some in found.items() if some}
