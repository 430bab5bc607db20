"""Long lists and many lines on Redis, in which a script looks at a part only.

A job that leaves the middle of a long list stays in it as an id that is skipped. To everybody else,
the queue looks as if it had been taken out.
"""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, Push, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import Park, Release
from poolq.jobs.unique import UniqueKey
from tests.contract.helpers import HOUR, SECOND, Worker, count_of, named, new_id, push, stored
from tests.contract.test_pages import listed
from tests.support.by_hand import call
from tests.support.clock import Clock

pytestmark = pytest.mark.parametrize("engine_url", ["redis", "valkey"], indirect=True)

LONG = 1500
MINUTE = 60 * SECOND
NAMES = [f"{n:04}" for n in range(LONG)]
EVERY_THIRD = [name for n, name in enumerate(NAMES) if n % 3 != 1]


@pytest.fixture
def ids(engine: Engine) -> list[str]:
    return push(engine, *NAMES)


def drained(worker: Worker, want: int) -> list[str]:
    found: list[str] = []
    while claims := worker.claim(want):
        found += named(claims)
    return found


@pytest.mark.parametrize("want", [1, 7, 512, 2000])
def test_what_is_cancelled_in_the_middle_is_never_claimed(
    engine: Engine, worker: Worker, ids: list[str], want: int
) -> None:
    assert engine.cancel(ids[1::3]) == ids[1::3]
    assert engine.cancel(ids[1::3]) == [], "they are gone"
    assert count_of(engine).ready == len(EVERY_THIRD)
    assert [engine.find(id) is None for id in ids[:6]] == [False, True, False, False, True, False]
    assert drained(worker, want) == EVERY_THIRD
    assert count_of(engine).ready == 0


def test_they_are_on_no_page(engine: Engine, ids: list[str]) -> None:
    engine.cancel(ids[1::3])
    assert listed(engine, "ready", "q", 100) == EVERY_THIRD
    first = engine.page("ready", "q", max_count=300)
    engine.cancel(ids[300:900])
    rest = engine.page("ready", "q", cursor=first.cursor, max_count=2000)
    assert [job.body.decode() for job in rest.jobs] == [n for n in EVERY_THIRD if n >= "0900"]


def test_a_queue_whose_jobs_are_all_cancelled_is_empty(
    engine: Engine, worker: Worker, ids: list[str]
) -> None:
    engine.pause("q")
    assert engine.cancel(ids) == ids
    assert count_of(engine).ready == 0
    push(engine, "new")
    engine.resume("q")
    assert drained(worker, 9) == ["new"]


def test_a_moved_job_may_return_to_its_place(
    engine: Engine, worker: Worker, ids: list[str]
) -> None:
    away = ids[10:700:5]
    assert engine.move(away, "r") == away
    assert count_of(engine, "r").ready == len(away)
    assert engine.move(away, "q") == away
    assert [engine.find(id).queue for id in away] == ["q"] * len(away)  # type: ignore[union-attr]
    assert sorted(drained(worker, 50)) == NAMES
    assert Worker(engine, "w2", queues=["r"]).claim() == []


def test_a_move_into_the_middle_of_a_long_list_keeps_the_order(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, *NAMES[:900])
    clock.forward(1)
    moved = push(engine, "moved", queue="r")
    clock.forward(1)
    late = push(engine, *NAMES[900:])
    engine.cancel(late[::2])
    assert engine.move(moved, "q") == moved
    assert drained(worker, 100) == [*NAMES[:900], "moved", *NAMES[901::2]]


def test_a_purge_counts_jobs_alone(engine: Engine, ids: list[str]) -> None:
    engine.cancel(ids[:1100:2])
    assert engine.purge("q") == LONG - 550
    assert count_of(engine).ready == 0


def test_the_list_does_not_grow_with_what_is_replaced(
    engine: Engine, worker: Worker, ids: list[str]
) -> None:
    """However often the jobs of 1,000 keys are replaced behind a long backlog."""
    engine.pause("q")
    for _ in range(8):
        keys = [UniqueKey(f"k{n}", "start", 0, True) for n in range(1000)]
        engine.push([Push(new_id(), "q", one.key.encode(), unique=one) for one in keys])
    assert count_of(engine).ready == LONG + 1000
    assert 0 < call(engine, "LLEN", "ready:q") <= 2 * (LONG + 1000) + 10
    engine.resume("q")
    assert drained(worker, 100) == [*NAMES, *(f"k{n}" for n in range(1000))]


@pytest.mark.parametrize("want", [1, 100])
def test_a_list_out_of_order_loses_nothing(
    engine: Engine, worker: Worker, clock: Clock, want: int
) -> None:
    """The clock has gone back in the middle of it."""
    early = push(engine, *NAMES[:800])
    clock.back(HOUR)
    late = push(engine, *NAMES[800:])
    gone = [*early[::2], *late[::2]]
    assert sorted(engine.cancel(gone)) == sorted(gone)
    assert stored(engine, late[1]).status == "ready"
    assert sorted(drained(worker, want)) == [name for name in NAMES if int(name) % 2]


def test_a_job_that_is_released_is_claimed_again_after_its_place_is_gone(
    engine: Engine, worker: Worker, ids: list[str]
) -> None:
    claims = worker.claim(2)
    engine.cancel(ids[2:600])
    worker.end(claims[0], Release(0, State(1)))
    assert drained(worker, 300) == [*NAMES[600:], "0000"]


def test_a_line_that_may_start_is_found_behind_many_whose_heads_are_held(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """Each look that ends in vain leaves a token for the next, and there are few."""
    rules = [Rule(f"k{n}", 1, MINUTE) for n in range(301)]
    for rule in rules:
        engine.admit([rule])
    ids = push(engine, *(rule.key for rule in rules))
    claims = worker.claim(len(ids))
    worker.step(*(Settlement(one, Park((by,), 0)) for one, by in zip(claims, rules, strict=True)))
    for rule in rules[:-1]:
        engine.hold(rule.key, HOUR)
    clock.forward(MINUTE)
    steps = 0
    while not (claims := worker.claim(9)):
        steps += 1
        assert steps <= 5
        assert engine.wait(["q"], 0) > 0, "there is a token"
    assert named(claims) == ["k300"]


def test_a_sweep_goes_on_where_the_last_one_stopped(engine: Engine) -> None:
    """One long hold keeps many ended ones, until each was looked at."""
    engine.hold("long", HOUR)
    for n in range(2000):
        engine.hold(f"k{n}", 1)
    sweeps = 1
    while engine.sweep(HOUR):
        sweeps += 1
    assert call(engine, "HKEYS", "holds") == [b"long"]
    assert 5 <= sweeps <= 60
    assert call(engine, "EXISTS", "swept") == 0
