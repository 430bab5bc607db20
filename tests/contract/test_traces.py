"""Whatever happens to a job, once it is finished the server stores nothing of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from poolq.engines.base import Engine, Push, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, EXPIRE, GIVE_BACK, Bury, Failing, Park, Release, ReleaseUntil
from poolq.jobs.unique import UniqueKey
from tests.contract.helpers import HOUR, Worker, bury, died, full, new_id, park, push
from tests.contract.traces import everything

TRIED = State(1, 1, 0, b"a line of history")


def done(engine: Engine, worker: Worker) -> None:
    worker.end(worker.take("body"))


def retried_and_done(engine: Engine, worker: Worker) -> None:
    worker.end(worker.take("body"), Release(0, TRIED))
    worker.end(worker.claim()[0], GIVE_BACK)
    worker.end(worker.claim()[0])


def expired(engine: Engine, worker: Worker) -> None:
    worker.end(worker.take("body", expires=1), EXPIRE)


def expired_with_a_unique_key(engine: Engine, worker: Worker) -> None:
    job = Push(new_id(), "q", b"body", expires=1)
    engine.push([replace(job, unique=UniqueKey("history", "end"))])
    worker.end(worker.claim()[0], EXPIRE)


def expiring_and_done(engine: Engine, worker: Worker) -> None:
    worker.end(worker.take("body", expires=HOUR))


def expiring_failed_and_done(engine: Engine, worker: Worker) -> None:
    claim = worker.take("body", expires=HOUR)
    worker.end(claim, Bury(TRIED, HOUR))
    engine.retry([claim.id])
    worker.end(worker.claim()[0])


def delayed_and_done(engine: Engine, worker: Worker) -> None:
    push(engine, "body", delay=10)
    worker.end(worker.claim_soon())


def parked_and_done(engine: Engine, worker: Worker) -> None:
    park(worker, "body", rules=[Rule("k", 1, HOUR)])
    worker.end(worker.claim_soon())


def failed_and_forgotten(engine: Engine, worker: Worker) -> None:
    claim = worker.take("body")
    worker.end(claim, Failing(TRIED))
    worker.end(claim, Bury(TRIED))
    engine.forget([claim.id])


def retried_by_hand_and_done(engine: Engine, worker: Worker) -> None:
    engine.retry([bury(worker, "body", TRIED)])
    worker.end(worker.claim()[0])


def finished_by_a_dead_worker(engine: Engine, worker: Worker) -> None:
    worker.end(worker.take("body"), Release(0, TRIED))
    worker.claim()
    engine.recover("w1", died(request=worker.request, finished=1))


def crashed_and_done(engine: Engine, worker: Worker) -> None:
    worker.take("body")
    engine.recover("w1", None)
    heir = Worker(engine, "heir", "n2")
    heir.end(heir.claim()[0])
    engine.recover("heir", None)


def settled_in_vain(engine: Engine, worker: Worker) -> None:
    claim = worker.take("body")
    worker.end(claim)
    assert worker.step(Settlement(claim, Bury(TRIED))).stale == [claim.id]
    parked = Settlement(claim, Park((Rule("k", 1, HOUR),), 0))
    assert worker.step(parked).stale == [claim.id]


def cancelled(engine: Engine, worker: Worker) -> None:
    ids = park(worker, "body", rules=[full(engine)])
    ids += push(engine, "body")
    worker.end(worker.claim()[0], Release(0, TRIED))
    ids += push(engine, "body", delay=HOUR)
    assert engine.cancel(ids) == ids


def purged(engine: Engine, worker: Worker) -> None:
    park(worker, "body", "body", rules=[full(engine)])
    worker.end(worker.take("body"), Release(0, TRIED))
    push(engine, "body")
    worker.end(worker.claim()[0], GIVE_BACK)
    push(engine, "body", delay=HOUR)
    engine.purge("q")


def moved_and_done(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    ids = [*park(worker, "body", rules=[rule]), bury(worker, "body", TRIED)]
    ids += push(engine, "body")
    worker.end(worker.claim()[0], ReleaseUntil(engine.now() + HOUR, TRIED, rule))
    ids += push(engine, "body")
    worker.end(worker.claim()[0], GIVE_BACK)
    ids += [*push(engine, "body", delay=HOUR), *push(engine, "body")]
    assert engine.move(ids, "r") == ids
    engine.forget(ids)
    engine.purge("r")


@pytest.mark.parametrize(
    "life",
    [
        done,
        retried_and_done,
        expired,
        expired_with_a_unique_key,
        expiring_and_done,
        expiring_failed_and_done,
        delayed_and_done,
        parked_and_done,
        failed_and_forgotten,
        retried_by_hand_and_done,
        finished_by_a_dead_worker,
        crashed_and_done,
        settled_in_vain,
        cancelled,
        moved_and_done,
        purged,
    ],
)
def test_nothing_is_left_of(
    engine: Engine, worker: Worker, life: Callable[[Engine, Worker], None]
) -> None:
    (pushed,) = push(engine, "body")
    held = everything(engine)
    assert pushed in held, "what is sought can be found"
    assert "body" in held
    worker.end(worker.claim()[0], ACK)
    life(engine, worker)
    engine.recover("w1", None)
    for node in ("n1", "n2"):
        engine.remove_node(node)
    left = everything(engine)
    for trace in (pushed[16:], "body", "history", "w1", "heir", "n2"):
        assert trace not in left
