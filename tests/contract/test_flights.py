"""A step on its way while jobs run: whatever goes wrong meanwhile, each claim is started once or
given back, and a death finds what had ended. On Redis, where a step may be on its way."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic_ns

import pytest

from poolq.engines.base import Claim, Engine, Settlement
from poolq.errors import EngineUnavailable, Fenced
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, Release
from poolq.log import reporting
from poolq.scoreboard.layout import FINISHED, PREVIOUS_REQUEST, REQUEST
from poolq.scoreboard.worker_row import WorkerRow, of_request
from poolq.worker import claim_buffer as module
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.step_client import StepClient
from poolq.worker.title import Title
from tests.contract.conftest import OpenEngine
from tests.contract.faulty_proxy import FaultyProxy
from tests.contract.helpers import HOUR, Worker, count_of, died, named, push, registration, total
from tests.support.rows import own_row
from tests.support.servers import Redis
from tests.support.wait import until


@pytest.fixture
def engine(redis_server: Redis, namespace: str, opened: OpenEngine) -> Engine:
    return opened(redis_server.url, namespace)


@pytest.fixture
def row() -> WorkerRow:
    return own_row()


def buffer_of(engine: Engine, row: WorkerRow) -> ClaimBuffer:
    log = reporting.Log(reporting.FORMATS["text"]())
    client = StepClient(engine, "w1", ["q"], log, lambda _seconds, _urgent: False)
    client.register(registration())
    return ClaimBuffer(client, row, log, Title("w"))


@pytest.fixture
def buffer(engine: Engine, row: WorkerRow) -> ClaimBuffer:
    return buffer_of(engine, row)


def end(buffer: ClaimBuffer, row: WorkerRow, many: int) -> list[str]:
    """Run so many jobs; what they were called."""
    claims: list[Claim] = []
    for _ in range(many):
        claim = buffer.next()
        assert claim is not None
        row.start(claim.index, b"", 1)
        row.set_finished(claim.index)
        buffer.add_settlement(claim, ACK)
        claims.append(claim)
    return named(claims)


def send_ahead(engine: Engine, buffer: ClaimBuffer, row: WorkerRow, names: str, want: int) -> None:
    """Push jobs, claim so many, run the first one, and send for as many again."""
    push(engine, *names)
    buffer.claim(want)
    end(buffer, row, 1)
    buffer.claim_ahead(want)


def test_what_was_sent_for_follows_what_is_ahead(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow
) -> None:
    begun = monotonic_ns()
    push(engine, *"abcdef")
    pushed = monotonic_ns()
    assert buffer.claim(4) == 4
    assert begun - 10**9 < buffer.first_due_at < pushed, "since before it was asked for"
    buffer.first_due_at = 0
    assert end(buffer, row, 2) == ["a", "b"]
    buffer.claim_ahead(4)
    until(lambda: count_of(engine).running == 4, 5, "the step's claims")
    assert end(buffer, row, 2) == ["c", "d"]
    assert buffer.next() is None, "what is on its way is not started before all before it has ended"
    assert row.words[REQUEST] == 1
    assert buffer.claim(4) == 2
    assert (row.words[REQUEST], row.words[PREVIOUS_REQUEST]) == (2, 1), (
        "c and d are not settled yet"
    )
    assert begun - 10**9 < buffer.first_due_at < pushed
    assert end(buffer, row, 2) == ["e", "f"]
    assert buffer.claim(4) == 0
    assert total(engine, "done") == 6
    assert count_of(engine).running == 0


@pytest.mark.parametrize("delivered", [True, False])
def test_a_lost_answer_is_asked_for_again(
    redis_server: Redis, engine: Engine, namespace: str, opened: OpenEngine, row: WorkerRow,
    delivered: bool,
) -> None:  # fmt: skip
    with FaultyProxy(redis_server.url) as proxy:
        buffer = buffer_of(opened(proxy.url, namespace), row)
        push(engine, *"abcd")
        buffer.claim(2)
        end(buffer, row, 1)
        if delivered:
            proxy.drop_next_reply()
        else:
            proxy.drop_next_request()
        buffer.claim_ahead(2)
        assert proxy.dropped.wait(60)
        assert end(buffer, row, 1) == ["b"]
        assert buffer.claim(2) == 2
        assert end(buffer, row, 2) == ["c", "d"]
        buffer.claim(2)
    assert total(engine, "done") == 4
    assert count_of(engine).running == 0


def test_others_may_speak_while_a_step_is_on_its_way(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow
) -> None:
    """A job's rate limit, for one."""
    send_ahead(engine, buffer, row, "abcd", 2)
    claim = buffer.next()
    assert claim is not None
    assert engine.admit([Rule("k", 1, HOUR)], ("w1", claim)).wait == 0
    assert engine.admit([Rule("k", 1, HOUR)]).wait > 0
    row.set_finished(claim.index)
    buffer.add_settlement(claim, ACK)
    assert buffer.claim(2) == 2
    assert end(buffer, row, 2) == ["c", "d"]


def test_a_settlement_in_between_leaves_the_claims_for_later(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow
) -> None:
    send_ahead(engine, buffer, row, "abcdef", 3)
    claim = buffer.next()
    assert claim is not None
    buffer.add_settlement(claim, Release(HOUR, State(1)))
    assert buffer.settle() == []
    assert row.words[REQUEST] == 1, "the third job is of that request still"
    assert end(buffer, row, 1) == ["c"]
    assert buffer.claim(3) == 3
    assert total(engine, "done") == 2, "c did not wait: b has ended in another way"
    assert row.words[PREVIOUS_REQUEST] == 0
    assert end(buffer, row, 3) == ["d", "e", "f"]
    buffer.claim(1)
    assert (total(engine, "done"), count_of(engine).delayed) == (5, 1)


def test_before_a_long_job_all_is_settled(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow
) -> None:
    send_ahead(engine, buffer, row, "abcd", 2)
    buffer.settle_overdue(3)
    assert total(engine, "done") == 1


def test_what_is_too_much_goes_back_from_behind(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REVIEW_AFTER", 0)
    monkeypatch.setattr(module, "EXCESS_FACTOR", 1)
    send_ahead(engine, buffer, row, "abcdefg", 3)
    buffer.settle_overdue(3)
    assert count_of(engine).ready == 3
    buffer.settle_overdue(2)
    assert count_of(engine).ready == 4
    assert end(buffer, row, 2) == ["b", "c"]
    assert buffer.next() is None
    assert buffer.claim(1) == 1
    assert end(buffer, row, 1) == ["d"]
    assert buffer.claim(3) == 3
    assert end(buffer, row, 1) == ["e"], "what went back keeps its point"
    buffer.claim_ahead(1)
    buffer.settle_overdue(3, alone=True)
    assert buffer.next() is None
    assert (total(engine, "done"), count_of(engine).ready) == (5, 2)


def test_leaving_gives_back_what_was_on_its_way(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow
) -> None:
    send_ahead(engine, buffer, row, "abcdef", 3)
    buffer.give_back()
    assert (total(engine, "done"), count_of(engine).ready) == (1, 5)
    assert buffer.next() is None


def test_behind_a_long_job_what_is_on_its_way_waits_for_nobody(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow
) -> None:
    push(engine, *"abcdef")
    buffer.claim(3)
    end(buffer, row, 1)
    long = buffer.next()
    assert long is not None
    buffer.claim_ahead(3)
    buffer.watcher.running_since = 1
    until(lambda: count_of(engine).ready == 4, 5, "the watcher")
    assert total(engine, "done") == 1
    buffer.add_settlement(long, ACK)
    assert buffer.next() is None
    assert buffer.claim(6) == 4
    assert row.words[REQUEST] == 3
    assert end(buffer, row, 4) == ["c", "d", "e", "f"]
    buffer.claim(1)
    assert total(engine, "done") == 6


@pytest.mark.parametrize("landed", [True, False])
def test_a_death_finds_what_had_ended(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow, landed: bool
) -> None:
    send_ahead(engine, buffer, row, "abcdef", 3)
    end(buffer, row, 2)
    until(lambda: count_of(engine).running == 5, 5, "the step's claims")
    if landed:
        buffer.claim(3)
        end(buffer, row, 1)
    done = of_request(row.words, FINISHED)
    began = done if landed else -1
    recovered = engine.recover(
        "w1", died(row.words[REQUEST], done, began, row.words[PREVIOUS_REQUEST])
    )
    assert (len(recovered.done), len(recovered.crashed)) == ((3, 1) if landed else (2, 0))
    assert len(recovered.returned) == (1 if landed else 3)
    assert total(engine, "done") == (4 if landed else 3)


def test_a_fenced_worker_hears_of_it_when_the_step_lands(
    engine: Engine, buffer: ClaimBuffer, row: WorkerRow
) -> None:
    push(engine, *"abcd")
    buffer.claim(2)
    end(buffer, row, 1)
    engine.recover("w1", None)
    buffer.claim_ahead(2)
    end(buffer, row, 1)
    with pytest.raises(Fenced):
        buffer.claim(2)
    assert count_of(engine).running == 0


@pytest.fixture
def cut(
    redis_server: Redis, namespace: str, opened: OpenEngine
) -> Iterator[tuple[FaultyProxy, Engine]]:
    with FaultyProxy(redis_server.url) as proxy:
        yield proxy, opened(proxy.url, namespace)


def test_what_comes_next_on_a_broken_connection_says_so(
    cut: tuple[FaultyProxy, Engine], engine: Engine
) -> None:
    """And what was on its way says the same, when it is asked."""
    proxy, far = cut
    worker = Worker(far)
    push(engine, "a")
    proxy.drop_next_reply()
    answer = far.begin_step("w1", 1, (), 1, ["q"])
    assert answer is not None
    assert proxy.dropped.wait(60)
    with pytest.raises(EngineUnavailable):
        far.admit([Rule("k", 1, HOUR)])
    with pytest.raises(EngineUnavailable):
        answer()
    worker.request = 1
    (claim,) = worker.again(want=1).claims
    assert worker.step(Settlement(claim, ACK)).stale == []
