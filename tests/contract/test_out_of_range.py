"""A number that no poolq can have stored counts as none: a time beyond 100 years is over."""

from __future__ import annotations

import pytest

from poolq.common.durations import MAX_MICROSECONDS
from poolq.common.lengths import MAX_SPEC_BYTES
from poolq.engines.base import Engine
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.redis.scripts import SCRIPTS
from poolq.jobs.limits import Rule
from poolq.jobs.message import Push
from poolq.jobs.ties import UniqueKey
from tests.contract.helpers import HOUR, every_engine, new_id
from tests.contract.test_odd_rows import change, write

#: In how many microseconds something ends; more than any duration that a person may give.
AHEAD = [MAX_MICROSECONDS + HOUR, 2**53, 2**61, 2**63 - 1]


def tied(key: str = "k", until: str = "end") -> Push:
    right = UniqueKey(key, until, HOUR if until == "time" else 0)  # type: ignore[arg-type]  # it is
    return Push(new_id(), "q", b"tied", unique=right)


def ends_at(engine: Engine, ahead: int) -> int:
    return min(engine.now() + ahead, 2**63 - 1)


@every_engine
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_hold_beyond_100_years_is_over(engine: Engine, ahead: int) -> None:
    engine.hold("mail", HOUR)
    ends = ends_at(engine, ahead)
    if isinstance(engine, RedisEngine):
        write(engine, "HSET", "holds", b"mail", b"1 %d" % ends)
    else:
        change(engine, "UPDATE {holds} SET ends = ?", ends)
    assert engine.admit([Rule("mail", 1, HOUR)]).wait == 0
    assert 0 < engine.hold("mail", HOUR) <= HOUR, "nor does it make others longer"
    assert engine.admit([Rule("mail", 5, HOUR)]).held
    assert engine.lift("mail")


@every_engine
@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("ends", [*AHEAD, -1, -(2**61)])
def test_a_unique_key_beyond_100_years_is_free(engine: Engine, ends: int, replaces: bool) -> None:
    first = tied(until="time")
    assert engine.push([first]) == [first.id]
    at = ends_at(engine, ends) if ends > 0 else ends
    if isinstance(engine, RedisEngine):
        write(engine, "SET", "unique:k", b"%d %b" % (at, first.id.encode()))
    else:
        change(engine, "UPDATE {unique_keys} SET ends = ?", at)
    second = tied(until="time")
    second = second._replace(unique=second.unique._replace(replaces=replaces))  # type: ignore[union-attr]  # it is one
    assert engine.push([second]) == [second.id]
    third = tied(until="time")
    assert engine.push([third]) == [second.id], "which has it now"


@every_engine
@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.timeout(60)
def test_a_unique_key_of_no_job_holds_up_no_push(engine: Engine, replaces: bool) -> None:
    engine.push([tied(until="time")])
    at = ends_at(engine, HOUR)
    if isinstance(engine, RedisEngine):
        write(engine, "SET", "unique:k", b"%d " % at)
    else:
        change(engine, "UPDATE {unique_keys} SET id = ''")
    second = tied(until="time")
    second = second._replace(unique=second.unique._replace(replaces=replaces))  # type: ignore[union-attr]  # it is one
    assert engine.push([second])[0] in ("", second.id)


def test_lua_knows_the_same_limits() -> None:
    text = SCRIPTS["schedule_look"].text.decode()
    assert f"FURTHEST = now + {MAX_MICROSECONDS}\n" in text
    assert f"MAX_SPEC_BYTES = {MAX_SPEC_BYTES}\n" in text
