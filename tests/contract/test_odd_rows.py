"""Whatever somebody has written into the store affects at most its own row: the job is claimed with
a body that is no valid message, so its worker buries it; the store keeps the original body."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, Settlement
from poolq.engines.redis.engine import RedisEngine
from poolq.errors import BadMessage
from poolq.jobs.limits import Rule
from poolq.jobs.message import decode
from poolq.jobs.outcomes import Bury
from tests.contract.helpers import HOUR, Worker, full, named, park, push, total
from tests.support.by_hand import TYPED, call, change

BODY = b'{"v":1,"id":"1","job":"a","queue":"q"}'


def is_set_aside(engine: Engine, worker: Worker, odd: str, good: str) -> None:
    """Both jobs are claimed. The unreadable one is buried, and is unchanged when it is retried."""
    claims = {claim.id: claim for claim in worker.claim(9)}
    assert sorted(claims) == sorted([odd, good])
    with pytest.raises(BadMessage, match="the store has no"):
        decode(claims[odd].body)
    state = claims[odd].state
    assert min(state[:3]) >= 0
    assert max(state[:3]) < 2**31
    ends = [Settlement(claims[odd], Bury(state)), Settlement(claims[good], Bury(state))]
    assert worker.step(*ends).stale == []
    failed = {one.id: one for one in engine.failed()}
    assert failed[odd].body == b"odd"
    assert engine.retry([odd]) == [odd]
    assert named(worker.claim(9)) == ["odd"]


@pytest.mark.parametrize("value", [-5, 2**31 - 1, -(2**31)])
def test_an_impossible_count(engine: Engine, worker: Worker, value: int) -> None:
    odd, good = push(engine, "odd", "good")
    if isinstance(engine, RedisEngine):
        call(engine, "HSET", "states", odd.encode(), b"0 %d 0 0\n" % value)
    else:
        change(engine, "UPDATE {jobs} SET attempt = ? WHERE id = ?", value, odd)
    is_set_aside(engine, worker, odd, good)


@pytest.mark.parametrize("value", ["x", b"\xff", 1.5, 2**63 - 1])
def test_a_count_of_any_type(engine: Engine, worker: Worker, value: object) -> None:
    odd, good = push(engine, "odd", "good")
    if isinstance(engine, RedisEngine):
        word = value if isinstance(value, bytes) else str(value).encode()
        call(engine, "HSET", "states", odd.encode(), b"0 0 %b 0\n" % word)
    elif isinstance(engine, TYPED):  # its columns take only numbers
        change(engine, "UPDATE {jobs} SET crashes = -1 WHERE id = ?", odd)
    else:
        change(engine, "UPDATE {jobs} SET crashes = ? WHERE id = ?", value, odd)
    is_set_aside(engine, worker, odd, good)


@pytest.mark.parametrize("value", [b"garbage", b"", b"[]", b"\xff", b'[["k", 1, 1e99]]', b"[[1]]"])
def test_unreadable_rules(engine: Engine, worker: Worker, value: bytes) -> None:
    rule = full(engine)
    odd, good = park(worker, "odd", "good", rules=[rule])
    if isinstance(engine, RedisEngine):
        call(engine, "HSET", "parkrules:q", odd.encode(), value)
        call(engine, "DEL", f"win:{rule.window}:{rule.key}")
        call(engine, "ZADD", "lines:q", 0, f"{rule.window}:{rule.key}")
    else:
        change(engine, "UPDATE {jobs} SET rules = ? WHERE id = ?", value, odd)
        change(engine, "DELETE FROM {windows}")
        change(engine, "UPDATE {lines} SET slot = 0")
    claims = [claim for _ in range(4) for claim in worker.claim()]
    assert [claim.id for claim in claims] == [odd, good]
    if not isinstance(engine, RedisEngine):
        with pytest.raises(BadMessage, match="no rules for this job"):
            decode(claims[0].body)
    assert claims[1].admitted
    assert engine.admit([rule]).wait > 0, "only the good one has taken the slot"


@pytest.mark.parametrize("value", [5, "{}", 1.5])
def test_a_body_of_another_type(engine: Engine, worker: Worker, value: object) -> None:
    odd, good = push(engine, "odd", "good")
    text = str(value).encode()
    if isinstance(engine, RedisEngine):
        call(engine, "HSET", f"bodies:{odd[:10]}", odd.encode(), text)
    else:
        stored = text if isinstance(engine, TYPED) else value
        change(engine, "UPDATE {jobs} SET body = ? WHERE id = ?", stored, odd)
    claims = worker.claim(9)
    assert [(claim.id, claim.body) for claim in claims] == [(odd, text), (good, b"good")]
    worker.step(*(Settlement(claim, Bury(claim.state)) for claim in claims))
    assert {one.id for one in engine.failed()} == {odd, good}


@pytest.mark.parametrize("value", [10**18, 2**62, 0, -1])
def test_a_window_that_no_code_can_have_declared_is_not_shown(engine: Engine, value: int) -> None:
    full(engine, "mail")
    if isinstance(engine, RedisEngine):
        call(engine, "SET", f"win:{value}:odd", b"%d 1 1 1" % engine.now())
        call(engine, "ZADD", "windows", engine.now() + HOUR, b"%d:odd" % value)
    else:
        sql = """INSERT INTO {windows} (name, span, most, start, used, ends)
            VALUES ('odd', ?, 1, ?, 1, ?)"""
        change(engine, sql, value, engine.now(), engine.now() + HOUR)
    assert [use.rule.key for use in engine.limits()] == ["mail"]
    assert engine.admit([Rule("other", 1, HOUR)]).wait == 0


@pytest.mark.parametrize("value", [b"garbage", b"", b"9" * 400])
def test_a_total_that_is_not_a_number(engine: Engine, worker: Worker, value: bytes) -> None:
    push(engine, "a")
    worker.drain()
    if isinstance(engine, RedisEngine):
        call(engine, "HSET", "counters", b"failed q", value, b"what is this", value)
    elif isinstance(engine, TYPED):
        change(engine, "UPDATE {counters} SET failed = -1")
    else:
        change(engine, "UPDATE {counters} SET failed = ?", value)
    assert total(engine, "done") == 1
    assert total(engine, "failed") <= 0


def test_a_queue_with_rules_of_no_job_is_purged(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    if isinstance(engine, RedisEngine):
        call(engine, "HSET", "parkrules:q", b"ghost", b"x")
    else:
        change(engine, "INSERT INTO {lines} (place, queue, slot, name, span, most)"
               " VALUES ('p:1:k', 'q', 0, 'k', 1, 1)")  # fmt: skip
    assert engine.purge("q") == 1
    assert worker.claim() == []
