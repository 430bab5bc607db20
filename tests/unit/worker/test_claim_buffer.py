"""What a worker holds, and how recent the engine's answer must be for it to start; on an engine in
a file.
"""

from __future__ import annotations

from time import monotonic_ns

import pytest

from poolq.engines.base import Claim, Engine
from poolq.errors import EngineUnavailable, Fenced
from poolq.jobs.limits import Gate
from poolq.jobs.outcomes import ACK, DONE, GIVE_BACK
from poolq.log import reporting
from poolq.log.events import Stale
from poolq.scoreboard.layout import REQUEST
from poolq.scoreboard.worker_row import WorkerRow, text
from poolq.worker import claim_buffer as module
from poolq.worker import step_client, unsettled, watcher
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.step_client import Leaving, StepClient
from tests.contract.helpers import push_jobs
from tests.support.wait import until
from tests.unit.worker.conftest import RecordedLog


def ready(engine: Engine) -> int:
    return sum(one.ready for one in engine.counts())


def claim_two(engine: Engine, buffer: ClaimBuffer) -> None:
    push_jobs(engine, "12")
    buffer.claim(2)


def started(buffer: ClaimBuffer, count: int) -> list[Claim]:
    """So many claims, one after the other."""
    found = [claim for _ in range(count) if (claim := buffer.next())]
    assert len(found) == count
    return found


def taken(buffer: ClaimBuffer) -> list[str]:
    """The claims that can still be started."""
    return [claim.id for claim in iter(buffer.next, None)]


class Clock:
    """The buffer's clock; a test sets it."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for one in (module, step_client, unsettled, watcher):
        monkeypatch.setattr(one, "monotonic_ns", made)
    return made


def test_a_claim_needs_no_further_word_for_a_second(
    engine: Engine, buffer: ClaimBuffer, clock: Clock
) -> None:
    push_jobs(engine, "1")
    buffer.claim(1)
    assert buffer.due == clock.now + module.REVIEW_AFTER
    engine.recover("w1", None)
    clock.now += module.ANSWER_LIFETIME - 1
    buffer.settle_overdue(10)  # is not fenced: nothing was asked


def test_the_engines_time_goes_on_from_its_last_answer(
    engine: Engine, buffer: ClaimBuffer, clock: Clock
) -> None:
    """It counts from when the question was sent, so it is never early."""
    push_jobs(engine, "12")
    before = engine.now()
    buffer.claim(1)
    asked = buffer.engine_time()
    assert before <= asked <= engine.now()
    clock.now += 5_000_000_000
    assert buffer.engine_time() == asked + 5_000_000
    buffer.settle_overdue(10)
    assert before <= buffer.engine_time() <= engine.now()


def test_a_batch_says_since_when_its_first_job_was_due(engine: Engine, buffer: ClaimBuffer) -> None:
    begun = monotonic_ns()
    push_jobs(engine, "12")
    pushed = monotonic_ns()
    buffer.claim(2)
    assert begun - 10**9 < buffer.first_due_at < pushed, "since before it was asked for"


def test_an_old_claim_is_asked_for_once(engine: Engine, buffer: ClaimBuffer, clock: Clock) -> None:
    claim_two(engine, buffer)
    clock.now += module.ANSWER_LIFETIME
    assert clock.now >= buffer.due
    buffer.settle_overdue(10)
    assert buffer.due == clock.now + module.REVIEW_AFTER
    engine.recover("w1", None)
    buffer.settle_overdue(10)
    assert taken(buffer) == ["1", "2"], "and stays"


def test_an_answer_counts_from_when_it_was_asked_for(
    engine: Engine, buffer: ClaimBuffer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is stopped while the answer is on its way reads an old answer."""
    push_jobs(engine, "1")
    step = engine.step

    def late(*args: object) -> object:
        answer = step(*args)  # type: ignore[arg-type]  # handed on as they came
        clock.now += module.ANSWER_LIFETIME
        return answer

    monkeypatch.setattr(engine, "step", late)
    buffer.claim(1)
    assert buffer.due == clock.now


def test_catching_up_settles_what_has_waited_for_long(
    engine: Engine, buffer: ClaimBuffer, clock: Clock, row: WorkerRow
) -> None:
    claim_two(engine, buffer)
    (first,) = started(buffer, 1)
    buffer.add_settlement(first, ACK)
    claimed_by = row.words[REQUEST]
    clock.now += unsettled.SETTLE_DELAY - 1
    buffer.settle_overdue(10)
    assert engine.find("1") is not None
    clock.now += 1
    assert clock.now >= buffer.due
    buffer.settle_overdue(10)
    assert engine.find("1") is None
    assert row.words[REQUEST] == claimed_by, "what is not started is of that request still"


def test_before_a_long_job_all_that_is_claimed_goes_back(
    engine: Engine, buffer: ClaimBuffer
) -> None:
    push_jobs(engine, "12345")
    buffer.claim(4)
    first, long = started(buffer, 2)
    buffer.add_settlement(first, ACK)
    buffer.settle_overdue(3, alone=True)
    assert engine.find("1") is None, "in the same exchange"
    assert ready(engine) == 3
    assert taken(buffer) == []
    buffer.add_settlement(long, ACK)
    buffer.claim(2)
    assert taken(buffer) == ["3", "4"], "in their order"


def test_what_has_been_claimed_for_long_is_considered_anew(
    engine: Engine, buffer: ClaimBuffer, clock: Clock
) -> None:
    push_jobs(engine, "123456")
    buffer.claim(6)
    assert buffer.next() is not None
    assert module.EXCESS_FACTOR * 2 > 5 > module.EXCESS_FACTOR
    clock.now += module.REVIEW_AFTER - 1
    assert clock.now < buffer.due
    buffer.settle_overdue(1)
    assert ready(engine) == 0, "it may be a batch that is slow"
    clock.now += 1
    assert clock.now >= buffer.due
    buffer.settle_overdue(2)
    assert ready(engine) == 0, "that costs more than it helps"
    clock.now += module.REVIEW_AFTER
    buffer.settle_overdue(1)
    assert ready(engine) == 4
    assert buffer.due == clock.now + module.REVIEW_AFTER
    assert taken(buffer) == ["2"], "and the first stay"


def test_what_was_taken_for_short_is_shown_when_it_turns_out_long(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr("poolq.worker.title.setproctitle", titles.append)
    for id in ("1", "2"):  # with the second one the watcher is woken from its rest
        push_jobs(engine, [id])
        buffer.claim(1)
        (claim,) = started(buffer, 1)
        buffer.watcher.start()
        row.start(0, text(id, "q", "Mail"), monotonic_ns())
        buffer.watcher.running_since = monotonic_ns() - watcher.LONG_JOB
        until(lambda id=id: titles[-1:] == [f"w q Mail {id}"])  # type: ignore[misc]
        buffer.add_settlement(claim, ACK)


def test_a_job_whose_worker_lacks_a_processor_is_not_long(
    engine: Engine, buffer: ClaimBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    starved = True

    def is_runnable(pid: int) -> bool:
        looks.append(pid)
        return starved

    monkeypatch.setattr(watcher, "is_runnable", is_runnable)
    monkeypatch.setattr(watcher, "clock_gettime_ns", lambda _clock: 0)
    claim_two(engine, buffer)
    assert buffer.next()
    buffer.watcher.running_since = monotonic_ns() - watcher.LONG_JOB
    until(lambda: len(looks) > 3)
    assert ready(engine) == 0
    starved = False
    until(lambda: ready(engine) == 1)


def test_the_watcher_lets_stand_what_was_noted_while_it_sent(
    engine: Engine, buffer: ClaimBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_jobs(engine, "123")
    buffer.claim(3)
    first, second = started(buffer, 2)
    buffer.add_settlement(first, ACK)
    step = engine.step

    def meanwhile(*args: object) -> object:
        monkeypatch.setattr(engine, "step", step)
        buffer.add_settlement(second, ACK)
        return step(*args)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(engine, "step", meanwhile)
    buffer.watcher.running_since = monotonic_ns() - watcher.LONG_JOB
    until(lambda: ready(engine) == 1)
    assert buffer.settle() == []
    assert engine.find("2") is None
    assert engine.totals()["q"]["done"] == 2


def test_the_main_thread_learns_of_fencing_that_the_watcher_met(
    engine: Engine, buffer: ClaimBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a job whose settlement was refused would run its on_success()."""
    claim_two(engine, buffer)
    (done,) = started(buffer, 1)
    buffer.add_settlement(done, ACK)
    engine.recover("w1", None)
    step, asked = engine.step, []

    def noted(*args: object) -> object:
        asked.append(args)
        return step(*args)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(engine, "step", noted)
    buffer.watcher.running_since = monotonic_ns() - watcher.LONG_JOB
    until(lambda: len(asked) > 1)
    buffer.watcher.running_since = 0
    with pytest.raises(Fenced):
        buffer.settle()


@pytest.mark.parametrize("arrived", [True, False])
def test_what_the_watcher_has_sent_in_vain_is_repeated_before_anything_else(
    engine: Engine,
    buffer: ClaimBuffer,
    log: RecordedLog,
    arrived: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine answers a repeated step as before, so nothing is refused, or settled twice."""
    push_jobs(engine, "123")
    buffer.claim(3)
    done, long = started(buffer, 2)
    buffer.add_settlement(done, ACK)
    step, asked = engine.step, []

    def lost(*args: object) -> object:
        monkeypatch.setattr(engine, "step", step)
        asked.append(args)
        if arrived:
            step(*args)  # type: ignore[arg-type]  # handed on as they came
        raise EngineUnavailable("gone")

    monkeypatch.setattr(engine, "step", lost)
    buffer.watcher.running_since = monotonic_ns() - watcher.LONG_JOB
    until(lambda: asked)
    buffer.add_settlement(long, ACK)
    assert buffer.settle() == []
    assert buffer.claim(9) == 1
    assert taken(buffer) == ["3"]
    assert engine.totals()["q"]["done"] == 2
    assert not [one for one in log.events if isinstance(one, Stale)]


def test_an_acceptance_is_repeated_until_the_engine_answers(
    engine: Engine, row: WorkerRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    asked: list[tuple[str, int]] = []

    def accept(worker: str, deploy: int) -> int:
        asked.append((worker, deploy))
        if len(asked) < 3:
            raise EngineUnavailable("gone")
        return 7

    monkeypatch.setattr(engine, "accept", accept)
    log = reporting.Log(reporting.FORMATS["text"]())
    client = StepClient(engine, "w1", ["q"], log, lambda seconds, _: bool(pauses.append(seconds)))
    assert client.retry(lambda: engine.accept("w1", 5)) == 7
    assert asked == [("w1", 5)] * 3
    assert len(pauses) == 2


def test_an_acceptance_is_given_up_by_who_shall_leave(
    client: StepClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept(_worker: str, _deploy: int) -> int:
        raise EngineUnavailable("gone")

    monkeypatch.setattr(engine, "accept", accept)
    with pytest.raises(Leaving):
        client.retry(lambda: engine.accept("w1", 0))


def test_workers_of_a_generation_share_its_deploy(row: WorkerRow) -> None:
    assert row.deploy(1) == 0
    row.set_deploy(1, 5)
    assert (row.deploy(1), row.deploy(2)) == (5, 0)
    row.set_deploy(2, 9)
    assert row.deploy(2) == 9
    assert row.deploy(1) == 8, "it is older than the last one"
    row.set_deploy(1, 99)
    assert row.deploy(2) == 9


GATE = Gate("k", 1)


def test_a_slot_is_freed_by_the_next_job_that_asks(
    engine: Engine, buffer: ClaimBuffer, clock: Clock
) -> None:
    claim_two(engine, buffer)
    one, two = started(buffer, 2)
    assert engine.admit([GATE], ("w1", one)).wait == 0
    buffer.add_settlement(one, DONE, [GATE])
    assert buffer.due == 0, "a job without limits waits for the settlement"
    assert buffer.due_if_asking == clock.now + unsettled.SETTLE_DELAY
    assert engine.admit([GATE], ("w1", two), buffer.unsettled.ended).wait == 0
    buffer.slots_freed()
    assert not buffer.unsettled.ended
    assert buffer.due == buffer.due_if_asking == clock.now + unsettled.SETTLE_DELAY
    assert ready(engine) == 0
    assert engine.find(one.id), "nothing is settled yet"


def test_a_slot_is_freed_with_the_settlement_if_nobody_asks(
    engine: Engine, buffer: ClaimBuffer, clock: Clock
) -> None:
    claim_two(engine, buffer)
    (one,) = started(buffer, 1)
    buffer.add_settlement(one, DONE, [GATE])
    buffer.settle_overdue(10)
    assert not buffer.unsettled.ended
    assert engine.find(one.id) is None
    assert buffer.due == clock.now + min(module.ANSWER_LIFETIME, module.REVIEW_AFTER)


def test_what_a_limit_holds_back_is_settled_before_another_job_starts(
    engine: Engine, buffer: ClaimBuffer, clock: Clock
) -> None:
    claim_two(engine, buffer)
    (one,) = started(buffer, 1)
    buffer.add_settlement(one, GIVE_BACK)
    assert buffer.due == 0
    assert buffer.due_if_asking == clock.now + unsettled.SETTLE_DELAY, "it may be held back, too"
    buffer.slots_freed()
    assert buffer.due == 0
    assert buffer.settle() == []
    assert buffer.due > clock.now
    assert ready(engine) == 1


def test_a_job_whose_limits_are_unknown_is_settled_before_any_other(
    engine: Engine, buffer: ClaimBuffer
) -> None:
    claim_two(engine, buffer)
    (one,) = started(buffer, 1)
    buffer.add_settlement(one, DONE)
    assert buffer.due == buffer.due_if_asking == 0
