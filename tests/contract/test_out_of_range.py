"""A number that no poolq can have stored counts as none: a time beyond 100 years is over."""

from __future__ import annotations

import pytest

from poolq.common.durations import MAX_MICROSECONDS
from poolq.common.lengths import MAX_SPEC_BYTES
from poolq.engines.base import Engine
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.redis.scripts import SCRIPTS
from poolq.jobs.limits import Rule
from tests.contract.helpers import HOUR, tied
from tests.support.by_hand import call, change

#: In how many microseconds something ends; more than any duration that a person may give.
AHEAD = [MAX_MICROSECONDS + HOUR, 2**53, 2**61, 2**63 - 1]


def ends_at(engine: Engine, ahead: int) -> int:
    return min(engine.now() + ahead, 2**63 - 1)


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_hold_beyond_100_years_is_over(engine: Engine, ahead: int) -> None:
    engine.hold("mail", HOUR)
    ends = ends_at(engine, ahead)
    if isinstance(engine, RedisEngine):
        call(engine, "HSET", "holds", b"mail", b"1 %d" % ends)
    else:
        change(engine, "UPDATE {holds} SET ends = ?", ends)
    assert engine.admit([Rule("mail", 1, HOUR)]).wait == 0
    assert 0 < engine.hold("mail", HOUR) <= HOUR, "nor does it make others longer"
    assert engine.admit([Rule("mail", 5, HOUR)]).held
    assert engine.lift("mail")


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("ends", [*AHEAD, -1, -(2**61)])
def test_a_unique_key_beyond_100_years_is_free(engine: Engine, ends: int, replaces: bool) -> None:
    first = tied("first", until="time", lasts=HOUR)
    assert engine.push([first]) == [first.id]
    at = ends_at(engine, ends) if ends > 0 else ends
    if isinstance(engine, RedisEngine):
        call(engine, "SET", "unique:k", b"%d %b" % (at, first.id.encode()))
    else:
        change(engine, "UPDATE {unique_keys} SET ends = ?", at)
    second = tied("second", until="time", lasts=HOUR, replaces=replaces)
    assert engine.push([second]) == [second.id]
    third = tied("third", until="time", lasts=HOUR)
    assert engine.push([third]) == [second.id], "which has it now"


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.timeout(60)
def test_a_unique_key_of_no_job_holds_up_no_push(engine: Engine, replaces: bool) -> None:
    engine.push([tied("first", until="time", lasts=HOUR)])
    at = ends_at(engine, HOUR)
    if isinstance(engine, RedisEngine):
        call(engine, "SET", "unique:k", b"%d " % at)
    else:
        change(engine, "UPDATE {unique_keys} SET id = ''")
    second = tied("second", until="time", lasts=HOUR, replaces=replaces)
    assert engine.push([second])[0] in ("", second.id)


def test_lua_knows_the_same_limits() -> None:
    text = SCRIPTS["schedule_look"].text.decode()
    assert f"FURTHEST = now + {MAX_MICROSECONDS}\n" in text
    assert f"MAX_SPEC_BYTES = {MAX_SPEC_BYTES}\n" in text
