"""Push and step: what goes in comes out, once, in order."""

from __future__ import annotations

import time

import pytest

from poolq.engines.base import Engine, Push
from poolq.jobs.message import State
from poolq.jobs.outcomes import GIVE_BACK, Bury, Release
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import (
    SECOND,
    Worker,
    count_of,
    every_engine,
    named,
    new_id,
    push,
    stored,
)
from tests.support.servers import Redis

MIB = 1 << 20
BODIES = {
    "json": b'{"v":1,"id":"x","job":"jobs:A","queue":"q","payload":{"n":12345678901234567890}}',
    "empty": b"",
    "garbage": bytes(range(256)),
    "nul": b"\0",
    "unicode": "schöne grüße 😀".encode(),
    "quotes": b"'; DROP TABLE jobs; -- \\ \" %s ? :x",
    "a mebibyte": bytes(range(256)) * (MIB // 256),
}
HISTORIES = {
    "none": b"",
    "lines": b'{"at":1,"cause":"error"}\n{"at":2,"cause":"crash"}',
    "unicode": "{'error': 'groß 😀'}".encode(),
    "bytes": b"\0\xff\n\n\xfe'\"\\%s",
    "long": b"x" * 200_000,
}


@every_engine
def test_jobs_are_claimed_in_the_order_of_their_pushes(engine: Engine, worker: Worker) -> None:
    engine.push([])
    push(engine, "a")
    push(engine, "b", "c", "d")
    push(engine, "e")
    assert named(worker.claim(2)) == ["a", "b"]
    assert named(worker.claim(9)) == ["c", "d", "e"]
    assert worker.claim(9) == []


@every_engine
def test_a_claim_says_what_was_pushed_and_who_holds_it(engine: Engine, worker: Worker) -> None:
    ids = push(engine, "a", "b")
    worker.step()
    claims = worker.claim(2)
    assert [claim.id for claim in claims] == ids
    assert [(claim.request, claim.index) for claim in claims] == [(2, 0), (2, 1)]
    assert {claim.queue for claim in claims} == {"q"}
    assert {claim.state for claim in claims} == {State()}
    assert not any(claim.admitted for claim in claims)


@every_engine
def test_thousands_go_in_one_push_and_keep_their_order(engine: Engine, worker: Worker) -> None:
    names = [str(n) for n in range(5000)]
    push(engine, *names)
    assert count_of(engine).ready == 5000
    claimed: list[str] = []
    while claims := worker.claim(5000):
        claimed += named(claims)
    assert claimed == names


@every_engine
def test_a_push_may_be_larger_than_the_server_takes_at_once(engine: Engine, worker: Worker) -> None:
    """MariaDB's packet limit is 16 MiB here."""
    pushes = [Push(new_id(), "q", bytes([n]) * MIB) for n in range(20)]
    engine.push(pushes)
    for one in pushes:
        (claim,) = worker.claim()
        assert claim.id == one.id
        assert claim.body == one.body
        worker.end(claim)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_comes_back_byte_for_byte(engine: Engine, worker: Worker, body: bytes) -> None:
    pushed = Push(new_id(), "q", body)
    engine.push([pushed])
    assert stored(engine, pushed.id).body == body
    (claim,) = worker.claim()
    assert claim.body == body
    assert worker.again(want=1).claims == [claim]
    worker.end(claim, GIVE_BACK)
    assert worker.claim()[0].body == body


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_a_state_comes_back_as_it_was_settled(
    engine: Engine, worker: Worker, history: bytes
) -> None:
    state = State(attempt=3, crashes=2, failing=0, history=history)
    worker.end(worker.take("a"), Release(0, state))
    (claim,) = worker.claim()
    assert claim.state == state
    assert stored(engine, claim.id).state == state
    assert worker.again(want=1).claims[0].state == state
    worker.end(claim, GIVE_BACK)
    assert worker.claim()[0].state == state


@every_engine
def test_now_is_the_servers_clock_in_microseconds(engine: Engine) -> None:
    first = engine.now()
    assert abs(first - time.time() * SECOND) < 60 * SECOND
    assert engine.now() > first - 1


@every_engine
def test_a_closed_engine_may_be_used_again(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    engine.close()
    engine.close()
    push(engine, "b")
    engine.close()
    assert named(worker.claim(2)) == ["a", "b"]


@pytest.mark.parametrize("kind", ["redis_server", "valkey_server"])
def test_a_job_whose_body_is_gone_is_claimed_without_one(
    kind: str, request: pytest.FixtureRequest, namespace: str, opened: OpenEngine
) -> None:
    """A server may be configured to evict; the rest of the job is buried, and blocks nobody."""
    server: Redis = request.getfixturevalue(kind)
    engine = opened(server.url, namespace)
    worker = Worker(engine)
    first, second = push(engine, "first body", "second body")
    with server.client() as client:
        hashes = client.scan_iter(f"*{namespace}*", _type="hash")
        holders = [key for key in hashes if b"first body" in (client.hget(key, first) or b"")]
        assert [client.hdel(key, first) for key in holders] == [1]
    claims = worker.claim(2)
    assert [(claim.id, claim.body) for claim in claims] == [(first, b""), (second, b"second body")]
    worker.end(claims[0], Bury(State()))
    assert [(one.id, one.body) for one in engine.failed()] == [(first, b"")]
    worker.end(claims[1])
    assert engine.forget([first]) == [first]
