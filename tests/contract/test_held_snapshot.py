"""While somebody holds a snapshot open, PostgreSQL keeps what is done. Claims that begin after it
still find jobs that lie before it, and no statement reads it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import pytest

from poolq.engines.base import ASK, CLAIM_BYTES, Engine, Push, QueueCounts, Recovered, Settlement
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.sql import servers, waiting
from poolq.engines.sql.claims import cursors
from poolq.engines.sql.claims.cursors import Budget, ScanCursors
from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.engines.sql.queues import queue_discovery, turns
from poolq.engines.sql.queues.skip_scan import SKIP_SCANS
from poolq.engines.sql.session import Query, QueryResult
from poolq.errors import EngineUnavailable
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Failing, ReleaseUntil
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    count_of,
    named,
    new_id,
    push,
    sweep_all,
    wait_for,
)  # fmt: skip
from tests.contract.test_sql_bounds import examined
from tests.support.by_hand import rows
from tests.support.postgresql import PostgreSQL
from tests.support.wait import until

#: How many jobs are done before each test, and what a statement may read.
DONE, FEW = 3000, 300
SHARE = 1 / 100
FOR_MINUTES = 600.0
RULE = Rule("k", 10, SECOND)
LATE = """INSERT INTO {jobs} (id, place, queue, due_at, history, body)
    VALUES (?, ?, 'q', {now} - ?, {no_bytes}, ?)"""


class Never(Budget):
    """No look is allowed."""

    def has_time(self) -> bool:
        return False


@pytest.fixture
def elsewhere(
    postgresql_server: PostgreSQL,
    namespace: str,
    opened: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[PostgreSQLEngine]:
    """Another process. Looks are made by each step that may make one, but not from 10 s ago, when
    nothing was done yet. Positions do not lag, so no count depends on how fast jobs are done."""
    monkeypatch.setattr(cursors, "NEAR", 0)
    monkeypatch.setattr(cursors, "LAG", 0)
    monkeypatch.setattr(servers, "CURSOR_LIFETIME", 0)
    monkeypatch.setattr(turns, "LOOK_INTERVAL", FOR_MINUTES)
    engine: PostgreSQLEngine = opened(postgresql_server.url, namespace, migrate=True)
    with postgresql_server.connect() as raw:
        raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        raw.execute("SELECT 1 FROM pg_class LIMIT 1")
        yield engine


@pytest.fixture
def worker(elsewhere: PostgreSQLEngine, opened: OpenEngine) -> Worker:
    """One whose process may not look from the head."""
    engine: PostgreSQLEngine = opened(elsewhere.url, elsewhere.namespace)
    engine._cursors.heads = Never(1)
    return Worker(engine)


def do_many(worker: Worker) -> None:
    push(worker.engine, *["done"] * DONE)
    done: list[Settlement] = []
    while claims := worker.step(*done, want=100).claims:
        done = [Settlement(claim, ACK) for claim in claims]
    worker.engine._cursors.queues = Never(1)  # type: ignore[attr-defined]


@contextmanager
def reading_little(engine: Engine) -> Iterator[None]:
    """No statement reads more than few rows."""
    with examined(engine) as costs:  # type: ignore[arg-type]
        yield
    assert {sql: cost for sql, cost in costs.items() if cost > FEW} == {}


def finds(worker: Worker) -> list[str]:
    with reading_little(worker.engine):
        return named(worker.claim(5))


@pytest.mark.parametrize("how", ["given back", "recovered", "released", "moved", "moved when due"])
@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_job_that_has_returned_is_claimed_at_once(
    elsewhere: PostgreSQLEngine, worker: Worker, how: str, queues: list[str] | None
) -> None:
    """It keeps its due time, and so lies before all that is done."""
    worker.queues = queues
    holder = Worker(elsewhere, "w2", queues=["other"] if "moved" in how else ["q"])
    (old,) = push(elsewhere, "old", queue=holder.queues[0], delay=int(how == "moved when due"))  # type: ignore[index]
    claim = None if "moved" in how else holder.claim()[0]
    elsewhere.pause("other")
    do_many(worker)
    if claim is None:
        elsewhere.move([old], "q")
    elif how == "recovered":
        elsewhere.recover("w2", None)
    elif how == "given back":
        holder.end(claim, GIVE_BACK)
    else:
        moment = elsewhere.now() + 100 * MS
        holder.end(claim, ReleaseUntil(moment, State(1), RULE))
        wait_for(elsewhere, moment)
    assert count_of(elsewhere) == QueueCounts("q", ready=1)
    assert elsewhere.page("ready").jobs[0].id == old
    assert finds(worker) == ["old"]
    assert finds(worker) == []


def test_jobs_that_have_returned_come_in_their_order(
    elsewhere: PostgreSQLEngine, worker: Worker
) -> None:
    holder = Worker(elsewhere, "w2")
    names = [f"{number:03}" for number in range(250)]
    push(elsewhere, *names)
    claims = holder.claim(len(names))
    do_many(worker)
    for claim in claims[::-1]:
        holder.end(claim, GIVE_BACK)
    wait_for(elsewhere, elsewhere.now() + MS)
    push(elsewhere, "last")
    found = []
    while claimed := worker.claim(20):
        found += named(claimed)
    assert found == [*names, "last"]
    assert rows(elsewhere, "SELECT DISTINCT place FROM {jobs}") == [("w:w1",)]


def test_jobs_that_have_returned_are_like_others(
    elsewhere: PostgreSQLEngine, worker: Worker
) -> None:
    ids = push(elsewhere, *"abcdef")
    holder = Worker(elsewhere, "w2")
    claims = holder.claim(6)
    elsewhere.wait(["q"], 0)
    holder.step(*(Settlement(claim, GIVE_BACK) for claim in claims))
    assert elsewhere.wait(["q"], 30) == 6, "as many workers are woken"
    assert [job.id for job in elsewhere.page("ready", max_count=9).jobs] == ids
    assert [job.id for job in elsewhere.page("ready", "q", max_count=9).jobs] == ids
    assert elsewhere.cancel(ids[:1]) == ids[:1]
    assert elsewhere.move(ids[1:2], "other") == ids[1:2]
    assert named(worker.claim(1)) == ["c"]
    assert named(worker.claim(1, None)) == ["b"]
    assert elsewhere.purge("q") == 3
    assert count_of(elsewhere) == QueueCounts("q", running=1)
    assert elsewhere.sweep(0) is False
    assert {one.queue for one in elsewhere.counts()} == {"q", "other"}


@pytest.mark.parametrize("place", [QUEUED, DELAYED])
def test_a_job_that_was_committed_seconds_later_is_found(
    worker: Worker, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a push or a retry while the server's disk was busy."""
    monkeypatch.setattr(cursors, "NEAR", 10 * SECOND)
    do_many(worker)
    push(worker.engine, "next", delay=1)
    late = Query(LATE, (new_id(), place, 3 * SECOND, b"late"))
    worker.engine.session.change(late)  # type: ignore[attr-defined]
    wait_for(worker.engine, worker.engine.now())
    assert named(worker.claim(5)) == ["late", "next"]


def test_a_job_that_was_committed_much_later_is_found_by_a_look_from_the_head(
    worker: Worker,
) -> None:
    do_many(worker)
    late = Query(LATE, (new_id(), QUEUED, HOUR, b"late"))
    worker.engine.session.change(late)  # type: ignore[attr-defined]
    assert finds(worker) == []
    worker.engine._cursors.heads = Budget(0)  # type: ignore[attr-defined]
    assert named(worker.claim(5)) == ["late"]
    worker.engine._cursors.heads = Never(1)  # type: ignore[attr-defined]
    push(worker.engine, "next")
    assert finds(worker) == ["next"], "claims begin again where they were"


@pytest.fixture
def slow(elsewhere: PostgreSQLEngine, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all looks from heads take 5 s, and fail."""

    def send(session: PostgreSQLSession, queries: Sequence[Query]) -> list[QueryResult]:
        if not looks.isdisjoint(one.sql for one in queries):
            spent.append(5.0)
            raise EngineUnavailable("no answer within 5 s")
        return answer(session, queries)

    answer, spent = PostgreSQLSession.send, [0.0]
    looks = {queue_discovery.STATES, queue_discovery.STATE_AND_NEXT, *SKIP_SCANS.values()}
    monkeypatch.setattr(PostgreSQLSession, "send", send)
    monkeypatch.setattr(cursors, "monotonic", lambda: monotonic() + sum(spent))
    for engine in (elsewhere, worker.engine):
        looks_of: ScanCursors = engine._cursors  # type: ignore[attr-defined]
        looks_of.heads, looks_of.queues = Budget(SHARE), Budget(SHARE)
    monkeypatch.setattr(cursors, "NEAR", HOUR)
    monkeypatch.setattr(turns, "LOOK_INTERVAL", 0)


@pytest.mark.parametrize("other", ["has an old job", "is new"])
def test_another_queue_makes_no_claim_begin_further_back(
    elsewhere: PostgreSQLEngine, worker: Worker, other: str
) -> None:
    push(elsewhere, "old", queue="other")
    elsewhere.pause("other")
    worker.queues = ["q", "other"] if other == "has an old job" else ["q"]
    do_many(worker)
    worker.queues = ["q", "other"]
    push(worker.engine, "next")
    assert finds(worker) == ["next"]


def test_a_woken_worker_finds_the_job_of_another_queue_at_once(
    elsewhere: PostgreSQLEngine, worker: Worker
) -> None:
    """As its pool was told of it, although there is no time for a look over all queues."""
    worker.queues = None
    do_many(worker)
    for queue in ("other", "q", "third", "other"):
        push(elsewhere, queue, queue=queue)
        assert finds(worker) == [queue]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_process_whose_first_looks_take_too_long_finds_what_is_new(
    worker: Worker, queues: list[str] | None
) -> None:
    worker.queues = queues
    push(worker.engine, "next")
    for _ in queues or ("all queues", "the states of some"):
        with pytest.raises(EngineUnavailable):
            worker.claim(5)
    assert named(worker.claim(5)) == ["next"]
    push(worker.engine, "new", queue="new")
    worker.queues = [*queues, "new"] if queues else None
    found = until(lambda: worker.claim(5), 30, "a claim from a new queue")
    assert named(found) == ["new"]


@pytest.mark.usefixtures("slow")
def test_a_waiter_whose_first_looks_take_too_long_finds_what_is_new(
    elsewhere: PostgreSQLEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOOK_INTERVAL", 0)
    push(elsewhere, "next")
    for _ in range(2):
        with pytest.raises(EngineUnavailable):
            elsewhere.wait(None, 30)
    assert elsewhere.wait(None, 30) == 1


def test_a_job_that_was_too_big_for_a_step_is_claimed_by_the_next(
    elsewhere: PostgreSQLEngine, worker: Worker
) -> None:
    worker.engine._cursors.near = Never(1)  # type: ignore[attr-defined]
    push(elsewhere, "first")
    assert named(worker.claim()) == ["first"]
    wait_for(elsewhere, elsewhere.now() + cursors.LAG)
    elsewhere.push([Push(new_id(), "q", bytes([n]) * (CLAIM_BYTES // 2 + 1)) for n in range(3)])
    claims = worker.claim(3), worker.claim(3)
    assert [[claim.body[0] for claim in some] for some in claims] == [[0, 1], [2]]


#: Steps that settle and claim nothing, each of which leaves the row of an answer.
STEPS = 2 * FEW


def test_a_killed_worker_is_recovered_without_reading_what_it_has_done(
    elsewhere: PostgreSQLEngine, worker: Worker
) -> None:
    do_many(worker)
    for _ in range(STEPS):
        worker.step()
    ids = push(worker.engine, "done", "failing", "cancelled", "a", "b")
    claims = worker.claim(5)
    worker.end(claims[0])
    worker.end(claims[1], Failing(State(1)))
    assert elsewhere.request_cancel(ids[2:3], HOUR) == ids[2:3]
    with reading_little(elsewhere):
        found = elsewhere.recover("w1", None)
    assert found == Recovered(crashed=tuple(ids[1:2]), cancelled=(ids[2],), returned=(*ids[3:],))
    assert rows(elsewhere, "SELECT * FROM {answers}") == []
    assert named(Worker(elsewhere, "w2").claim(9)) == ["failing", "a", "b"]


def test_a_request_is_repeated_without_reading_what_the_worker_has_done(worker: Worker) -> None:
    do_many(worker)
    push(worker.engine, *"abc")
    first = worker.claim(2)
    claimed = worker.step(Settlement(first[0], GIVE_BACK), want=2).claims
    with reading_little(worker.engine):
        assert worker.again(want=2).claims == claimed


def test_a_late_settlement_does_not_hide_a_claim_from_recovery(worker: Worker) -> None:
    """As if a worker settled a job twice, and had claimed it again in between."""
    (old,) = (worker.take("a"),)
    worker.end(old, GIVE_BACK)
    assert named(worker.claim()) == ["a"]
    assert worker.step(Settlement(old, ACK)).stale == [old.id]
    assert worker.engine.recover("w1", None).crashed == (old.id,)


def test_a_sweep_that_has_no_time_for_queues_reads_little(
    elsewhere: PostgreSQLEngine, worker: Worker
) -> None:
    do_many(worker)
    elsewhere._cursors.sweeps = Never(1)
    with reading_little(elsewhere):
        assert elsewhere.sweep(0) is False
    assert rows(elsewhere, "SELECT queue FROM {queues}") == [("q",)]
    elsewhere._cursors.sweeps = Budget(0)
    sweep_all(elsewhere)
    assert rows(elsewhere, "SELECT queue FROM {queues}") == []


def test_who_asks_for_lines_reads_no_jobs_that_are_done(worker: Worker) -> None:
    do_many(worker)
    with reading_little(worker.engine):
        assert worker.claim(ASK, None) == []
