"""Moving jobs to another queue, and cancelling many at once."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, QueueCounts, Settlement
from poolq.jobs.message import State
from poolq.jobs.outcomes import GIVE_BACK, Bury, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    bury,
    count_of,
    full,
    named,
    new_id,
    park,
    push,
    stored,
)
from tests.support.clock import Clock

TRIED = State(3, 1, 0, b'{"at":1,"cause":"error"}')


def test_moved_jobs_are_in_the_order_of_their_due_times(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    moved = []
    for number in range(9):
        queue = "q" if number % 3 else "r"
        ids = push(engine, str(number), queue=queue)
        if queue == "q":
            moved += ids
        clock.forward(SECOND)
    moved += push(engine, "came due", delay=SECOND)
    clock.forward(2 * SECOND)
    push(engine, "last", queue="r")
    assert engine.move(moved[::-1], "r") == moved[::-1]
    assert (count_of(engine), count_of(engine, "r")) == (
        QueueCounts("q"),
        QueueCounts("r", ready=11),
    )
    assert worker.claim(9) == []
    assert {one.queue for one in engine.page("ready").jobs} == {"r"}
    order = [*map(str, range(9)), "came due", "last"]
    assert [job.body.decode() for job in engine.page("ready", "r").jobs] == order
    assert named(worker.claim(20, ["r"])) == order


def test_a_job_is_moved_into_the_middle_of_a_long_queue(engine: Engine, clock: Clock) -> None:
    numbers = range(6200)
    push(engine, *map(str, numbers[:6000]), queue="r")
    clock.forward(SECOND)
    moved = push(engine, "moved", "too")
    clock.forward(SECOND)
    push(engine, *map(str, numbers[6000:]), queue="r")
    worker = Worker(engine, queues=["r"])
    (first,) = worker.claim()
    worker.end(first, GIVE_BACK)
    assert engine.move(moved, "r") == moved
    assert count_of(engine, "r") == QueueCounts("r", ready=6202)
    found = [name for _ in range(7) for name in named(worker.claim(1000))]
    assert found == [*map(str, numbers[:6000]), "moved", "too", *map(str, numbers[6000:])]


def test_jobs_of_each_kind_are_moved(engine: Engine, worker: Worker, clock: Clock) -> None:
    rule = full(engine)
    (parked,) = park(worker, "p", rules=[rule])
    (released,) = push(engine, "h")
    worker.end(worker.claim()[0], ReleaseUntil(clock.now + HOUR, TRIED, rule))
    failed = bury(worker, "f", TRIED)
    (running,) = push(engine, "u")
    worker.claim()
    (delayed,) = push(engine, "d", delay=HOUR)
    clock.forward(SECOND)
    (ready,) = push(engine, "r")
    (there,) = push(engine, "there", queue="new")
    before = {one: stored(engine, one) for one in (released, failed, delayed, ready)}
    asked = [parked, released, failed, running, delayed, ready, there, new_id(), parked]
    assert engine.move(asked, "new") == [parked, released, failed, delayed, ready, there]
    assert count_of(engine) == QueueCounts("q", running=1)
    assert count_of(engine, "new") == QueueCounts("new", ready=3, delayed=2, failed=1)
    assert engine.limits()[0][2:6] == (0, HOUR - SECOND, 1, 1), "nothing is parked, one is released"
    for id, was in before.items():
        assert stored(engine, id) == was._replace(queue="new")
    claims = worker.claim(9, ["new"])
    assert named(claims) == ["p", "r", "there"]
    assert not any(claim.admitted for claim in claims)
    assert engine.admit([rule], ("w1", claims[0])).wait > 0, "it asks its limit again"
    clock.forward(HOUR)
    push(engine, "later", queue="new")
    assert [job.body.decode() for job in engine.page("ready", "new").jobs] == ["h", "d", "later"]
    claims = worker.claim(9, ["new"]) + worker.claim(9, ["new"])
    assert named(claims) == ["h", "d", "later"]
    assert claims[0].state == TRIED
    assert engine.retry([failed]) == [failed]
    assert named(worker.claim(9, ["new"])) == ["f"]


def test_a_line_whose_jobs_were_all_moved_is_gone(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    ids = park(worker, "a", "b", rules=[rule])
    assert engine.move(ids[:1], "r") == ids[:1]
    assert count_of(engine) == QueueCounts("q", parked=1)
    assert engine.move(ids[1:], "r") == ids[1:]
    assert count_of(engine, "r") == QueueCounts("r", ready=2)
    assert engine.page("parked") == ([], None)
    assert [use.parked for use in engine.limits()] == [0]


def test_a_moved_job_has_no_slot(engine: Engine, worker: Worker, clock: Clock) -> None:
    rule = full(engine)
    (parked,) = park(worker, "a", rules=[rule])
    clock.forward(HOUR)
    (claim,) = worker.claim()
    assert claim.admitted
    worker.end(claim, GIVE_BACK)
    engine.move([parked], "r")
    (claim,) = worker.claim(1, ["r"])
    assert not claim.admitted


def test_a_paused_queue_keeps_what_is_moved_there(engine: Engine, worker: Worker) -> None:
    ids = push(engine, "a", "b")
    engine.pause("r")
    assert engine.move(ids, "r") == ids
    assert worker.claim(9, ["r"]) == []
    assert worker.claim(9, None) == []
    engine.resume("r")
    assert named(worker.claim(9, None)) == ["a", "b"]


@pytest.mark.parametrize("queues", [None, ["r"]])
def test_a_moved_job_wakes_a_waiter(engine: Engine, queues: list[str] | None) -> None:
    ids = push(engine, "a")
    assert engine.wait(None, 0) == 1
    assert engine.wait(queues, 0) == 0
    engine.move(ids, "r")
    assert engine.wait(queues, 5) == 1


def test_many_jobs_are_moved_and_cancelled(engine: Engine, worker: Worker) -> None:
    ids = push(engine, *map(str, range(2500)))
    assert engine.move(ids[::2], "r") == ids[::2]
    assert count_of(engine, "r") == QueueCounts("r", ready=1250)
    gone = ids[100:2400]
    assert engine.cancel([*gone, new_id()]) == gone
    assert named(worker.claim(999)) == [str(n) for n in range(1, 2500, 2) if not 100 <= n < 2400]
    assert named(worker.claim(999, ["r"])) == [
        str(n) for n in range(0, 2500, 2) if not 100 <= n < 2400
    ]
    assert engine.cancel(ids) == []
    assert engine.move([], "r") == engine.cancel([]) == []


def test_moved_and_failed_jobs_are_listed_in_their_new_queue(
    engine: Engine, worker: Worker
) -> None:
    ids = push(engine, *map(str, range(20)))
    worker.step(*(Settlement(claim, Bury(TRIED)) for claim in worker.claim(20)))
    assert sorted(engine.move(ids[:15], "r")) == ids[:15]
    assert sorted(one.id for one in engine.failed("r")) == ids[:15]
    assert sorted(one.id for one in engine.failed("q")) == ids[15:]
    assert len(engine.failed()) == 20
    assert {one.state for one in engine.failed()} == {TRIED}
    assert engine.move(ids[15:], "r") == ids[15:]
    assert engine.failed("q") == []


def test_a_retried_job_may_get_another_body(engine: Engine, worker: Worker) -> None:
    ids = [bury(worker, name, TRIED) for name in "abc"]
    bodies = {ids[0]: b"new\nbody", ids[2]: b"", new_id(): b"of none"}
    assert engine.retry([ids[2], ids[0], ids[1]], bodies) == [ids[2], ids[0], ids[1]]
    found = {claim.id: (claim.body, claim.state) for claim in worker.claim(9)}
    assert found == {
        ids[0]: (b"new\nbody", State()),
        ids[1]: (b"b", State()),
        ids[2]: (b"", State()),
    }
    (ready,) = push(engine, "ready")
    assert engine.retry([ready], {ready: b"other"}) == []
    assert stored(engine, ready).body == b"ready"


def test_a_purge_reports_its_progress(engine: Engine, worker: Worker) -> None:
    park(worker, "p", rules=[full(engine)])
    push(engine, *map(str, range(2500)))
    push(engine, "d", delay=HOUR)
    seen: list[int] = []
    assert engine.purge("q", seen.append) == 2502
    assert seen == sorted(seen)
    assert seen[-1] <= 2502
    assert engine.page("ready").jobs == engine.page("delayed").jobs == engine.page("parked").jobs
    assert count_of(engine) == QueueCounts("q")
