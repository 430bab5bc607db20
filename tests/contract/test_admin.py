"""Administration of single jobs: find, cancel, and deal with failed ones."""

from __future__ import annotations

import re

from poolq.engines.base import Check, Engine, QueueCounts, Settlement
from poolq.jobs.message import State
from poolq.jobs.outcomes import GIVE_BACK, Bury, Release
from tests.contract.helpers import (
    HOUR,
    Worker,
    bury,
    count_of,
    full,
    named,
    new_id,
    park,
    push,
    stored,
    total,
)

TRIED = State(3, 1, 0, b'{"at":1,"cause":"error"}\n{"at":2,"cause":"crash"}')


def test_a_job_is_found_wherever_it_is(engine: Engine, worker: Worker) -> None:
    (parked,) = park(worker, "p", rules=[full(engine)])
    failed = bury(worker, "f", TRIED)
    (running,) = push(engine, "u")
    worker.claim()
    (ready,) = push(engine, "r")
    (delayed,) = push(engine, "d", delay=HOUR)
    statuses = {
        ready: "ready",
        delayed: "delayed",
        parked: "parked",
        running: "running",
        failed: "failed",
    }
    assert {one: stored(engine, one).status for one in statuses} == statuses
    assert [stored(engine, one).body for one in statuses] == [b"r", b"d", b"p", b"u", b"f"]
    assert count_of(engine) == QueueCounts("q", 1, 1, 1, 1, 1)


def test_a_job_that_is_done_or_never_existed_is_not_found(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    worker.drain()
    assert engine.find(pushed) is None
    assert engine.find(new_id()) is None
    assert engine.find("") is None


def test_what_does_not_run_can_be_cancelled(engine: Engine, worker: Worker) -> None:
    ids = park(worker, "p", rules=[full(engine)])
    ids += push(engine, "r1", "r2", "r3")
    ids += push(engine, "d", delay=HOUR)
    (_, _, keep, _, _) = ids
    for one in ids:
        assert one == keep or engine.cancel([one]) == [one]
    assert [engine.find(one) is None for one in ids] == [True, True, False, True, True]
    assert count_of(engine) == QueueCounts("q", ready=1)
    assert named(worker.claim(9)) == ["r2"]
    assert worker.claim() == []
    assert (total(engine, "failed"), total(engine, "cancelled")) == (0, 4)


def test_what_runs_has_failed_or_is_unknown_cannot_be_cancelled(
    engine: Engine, worker: Worker
) -> None:
    failed = bury(worker)
    claim = worker.take("a")
    assert engine.cancel([claim.id, failed, new_id()]) == []
    assert count_of(engine) == QueueCounts("q", running=1, failed=1)
    worker.end(claim)


def test_a_job_is_cancelled_once(engine: Engine) -> None:
    (pushed,) = push(engine, "a")
    assert [engine.cancel([pushed, pushed]), engine.cancel([pushed])] == [[pushed], []]
    assert total(engine, "cancelled") == 1


def test_what_came_back_can_be_cancelled(engine: Engine, worker: Worker) -> None:
    ids = [bury(worker)]
    engine.retry(ids)
    worker.claim()
    ids += push(engine, "given back", "released", "recovered")
    given_back, released, _ = worker.claim(3)
    worker.end(given_back, GIVE_BACK)
    worker.end(released, Release(0, TRIED))
    engine.recover("w1", None)
    assert count_of(engine) == QueueCounts("q", ready=4)
    for left, one in enumerate(ids):
        assert engine.cancel([one]) == [one]
        assert count_of(engine) == QueueCounts("q", ready=3 - left)
    assert Worker(engine, "w2").claim(9) == []


def test_failed_jobs_are_listed_by_queue_by_age_and_up_to_a_number(
    engine: Engine, worker: Worker
) -> None:
    a, b, c = (bury(worker, name) for name in "abc")
    (pushed,) = push(engine, "x", queue="r")
    worker.end(worker.claim(1, ["r"])[0], Bury(TRIED))
    assert [one.id for one in engine.failed("r")] == [pushed]
    assert [one.id for one in engine.failed("q")] == [c, b, a]
    assert engine.failed("none") == []
    assert engine.failed() == [stored(engine, one) for one in (pushed, c, b, a)]
    assert [one.id for one in engine.failed(before=stored(engine, b).at)] == [a]
    assert [one.id for one in engine.failed("q", before=stored(engine, c).at)] == [b, a]
    assert engine.failed("r", before=stored(engine, c).at) == []
    assert [one.id for one in engine.failed(max_count=2)] == [pushed, c]
    assert [one.id for one in engine.failed("q", max_count=1)] == [c]


def test_a_retried_job_starts_afresh_at_the_tail(engine: Engine, worker: Worker) -> None:
    pushed = bury(worker, "a", TRIED)
    push(engine, "b")
    before = engine.now()
    assert engine.retry([pushed]) == [pushed]
    found = stored(engine, pushed)
    assert (found.status, found.state) == ("ready", State())
    assert before <= found.at <= engine.now()
    assert count_of(engine) == QueueCounts("q", ready=2)
    claims = worker.claim(2)
    assert named(claims) == ["b", "a"]
    assert claims[1].state == State()
    worker.end(claims[1])
    assert (total(engine, "failed"), total(engine, "done")) == (1, 1)


def test_only_failed_jobs_are_retried_or_forgotten(engine: Engine, worker: Worker) -> None:
    failed = bury(worker)
    (running,) = push(engine, "u")
    worker.claim()
    (ready,) = push(engine, "r")
    (delayed,) = push(engine, "d", delay=HOUR)
    assert engine.forget([running, ready, delayed]) == []
    asked = [running, new_id(), failed, ready, delayed]
    assert engine.retry(asked) == [failed]
    assert engine.retry(asked) == []
    assert engine.retry([]) == []
    assert count_of(engine) == QueueCounts("q", ready=2, delayed=1, running=1)


def test_a_retried_job_can_fail_again(engine: Engine, worker: Worker) -> None:
    pushed = bury(worker, "a", TRIED)
    engine.retry([pushed])
    (claim,) = worker.claim()
    worker.end(claim, Release(0, State(1)))
    worker.end(worker.claim()[0], Bury(State(2)))
    assert [(one.id, one.state) for one in engine.failed()] == [(pushed, State(2))]
    assert total(engine, "failed") == 2


def test_a_forgotten_job_is_gone(engine: Engine, worker: Worker) -> None:
    a, b, c = (bury(worker, name) for name in "abc")
    assert engine.forget([c, new_id(), a]) == [c, a]
    assert engine.forget([c, a]) == []
    assert engine.forget([]) == []
    assert [engine.find(one) is None for one in (a, b, c)] == [True, False, True]
    assert count_of(engine) == QueueCounts("q", failed=1)
    assert engine.retry([a]) == []
    assert total(engine, "failed") == 3


def test_many_failed_jobs_are_retried_and_forgotten_at_once(engine: Engine, worker: Worker) -> None:
    ids = push(engine, *map(str, range(1500)))
    claims = worker.claim(1500)
    assert worker.step(*(Settlement(claim, Bury(TRIED)) for claim in claims)).stale == []
    assert len(engine.failed(max_count=1500)) == 1500
    assert len(engine.failed()) == 1000
    assert sorted(engine.retry(ids[:700])) == ids[:700]
    assert sorted(engine.forget(ids)) == ids[700:]
    assert count_of(engine) == QueueCounts("q", ready=700)


def test_it_says_what_stores_the_jobs(engine: Engine) -> None:
    found = engine.server()
    assert found is not None
    assert re.fullmatch(r"(Redis|Valkey|MariaDB|MySQL|PostgreSQL|SQLite) \d+(\.\d+)+", found.name)
    assert (found.used > 4000) == (not found.name.startswith(("MariaDB", "MySQL", "PostgreSQL")))


def test_doctor_checks_what_the_guarantees_depend_on(engine: Engine) -> None:
    checks = engine.doctor()
    assert checks
    for check in checks:
        assert isinstance(check, Check)
        assert check.level in ("ok", "warn", "bad")
        assert check.name
        assert check.text
        assert "\n" not in check.text
