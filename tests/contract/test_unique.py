"""Unique keys: at most one job has a key, and it frees it in the act that ends it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from poolq.engines.base import Engine, Push, Settlement
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.sanitize import to_text
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import (
    ACK,
    DISCARD,
    GIVE_BACK,
    Bury,
    Failing,
    Outcome,
    Park,
    Release,
    ReleaseUntil,
)
from poolq.jobs.unique import StoredKey, UniqueKey, Until
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    count_of,
    every_engine,
    full,
    kind,
    line,
    named,
    new_id,
    push,
    stored,
    tied,
    total,
)
from tests.support.by_hand import call, change, rows
from tests.support.clock import Clock

RULE = Rule("mail", 99, HOUR)


def send(engine: Engine, *pushes: Push) -> list[bool]:
    """Push jobs. Returns whether each was stored."""
    ids = engine.push(pushes)
    return [id_ == one.id for id_, one in zip(ids, pushes, strict=True)]


def is_free(engine: Engine, key: str = "k") -> bool:
    """Whether a new job gets the key. It does not keep it."""
    one = tied("probe", key)
    stored_now = engine.push([one]) == [one.id]
    assert engine.cancel([one.id]) == ([one.id] if stored_now else [])
    return stored_now


@every_engine
def test_a_job_gives_way_to_the_one_that_has_its_key(engine: Engine) -> None:
    first, second, other = tied("a"), tied("b"), tied("c", "other")
    assert engine.push([first]) == [first.id]
    assert engine.push([second]) == [first.id]
    assert engine.push([other]) == [other.id]
    assert engine.find(second.id) is None
    assert count_of(engine).ready == 2
    assert total(engine, "skipped") == 1


def test_duplicates_in_one_call_give_way_to_the_first(engine: Engine, worker: Worker) -> None:
    pushes = [tied("a"), tied("plain", ""), tied("b"), tied("c", "x"), tied("d"), tied("e", "x")]
    first, plain, _, third, _, _ = (one.id for one in pushes)
    assert engine.push(pushes) == [first, plain, first, third, first, third]
    assert worker.drain() == ["a", "plain", "c"]
    assert total(engine, "skipped") == 3
    assert is_free(engine)


def test_jobs_of_all_kinds_are_pushed_together(engine: Engine, worker: Worker) -> None:
    """Together with unique ones whose keys are all free, and with one whose key is taken."""
    for round_ in ("1", "2"):
        plain, late = tied("plain", ""), tied("late", "late", delay=HOUR)
        timed, ours = tied("timed", f"timed {round_}", "time", HOUR), tied("ours", round_)
        other = tied("other", f"other {round_}", "start", replaces=True)
        stored_now = [True, True, True, round_ == "1", True]
        assert send(engine, ours, other, timed, late, plain) == stored_now
        assert send(engine, tied("b", round_), tied("c", f"other {round_}")) == [False, False]
        assert not is_free(engine, f"timed {round_}")
        assert sorted(worker.drain()) == sorted(["ours", "other", "timed", "plain"])
        assert is_free(engine, round_)
        assert not is_free(engine, f"timed {round_}")
    assert count_of(engine).delayed == 1


@every_engine
@pytest.mark.parametrize("end", [ACK, DISCARD, Bury(State(1))], ids=["done", "discarded", "failed"])
@pytest.mark.parametrize("until", ["end", "start"])
def test_a_key_ends_with_its_job(
    engine: Engine, worker: Worker, end: Outcome, until: Until
) -> None:
    send(engine, tied("a", until=until))
    (claim,) = worker.claim()
    assert is_free(engine) is (until == "start")
    worker.end(claim, end)
    assert is_free(engine)


@pytest.mark.parametrize("gone", ["cancelled", "purged"])
@pytest.mark.parametrize("until", ["end", "start"])
def test_a_waiting_job_has_its_key_wherever_it_waits(
    engine: Engine, worker: Worker, until: Until, gone: str
) -> None:
    rule = full(engine)
    for at, outcome in enumerate(
        (GIVE_BACK, Release(0, State(1)), Release(HOUR, State(1)), Park((rule,), 0),
         ReleaseUntil(engine.now() + HOUR, State(1), rule)), 1,
    ):  # fmt: skip
        assert send(engine, tied(f"job {at}", f"key {at}", until)) == [True]
        assert not is_free(engine, f"key {at}")
        (claim,) = worker.claim()
        assert claim.body == b"job %d" % at
        worker.end(claim, outcome)
        assert not is_free(engine, f"key {at}"), outcome
        assert engine.cancel([claim.id]) if gone == "cancelled" else engine.purge("q") == 1
        assert left_over(engine) == [], "a key of a job that is gone would be void, and is counted"
        assert is_free(engine, f"key {at}"), outcome


def test_a_job_cancelled_while_it_runs_frees_its_key(engine: Engine, worker: Worker) -> None:
    send(engine, tied("a"))
    (claim,) = worker.claim()
    assert engine.request_cancel([claim.id], 0) == [claim.id]
    assert not is_free(engine)
    assert worker.step(Settlement(claim, GIVE_BACK)).stale == [claim.id]
    assert is_free(engine)


@pytest.mark.parametrize("outcome", [GIVE_BACK, Release(0, State(1))], ids=kind)
def test_a_job_that_returns_goes_on_without_a_key_that_another_has(
    engine: Engine, worker: Worker, outcome: Outcome
) -> None:
    send(engine, tied("a", until="start"))
    (claim,) = worker.claim()
    assert send(engine, tied("b", until="start")) == [True]
    worker.end(claim, outcome)
    claims = worker.claim(2)
    assert sorted(named(claims)) == ["a", "b"]
    assert send(engine, tied("c", until="start")) == [True]
    assert worker.step(*(Settlement(one, ACK) for one in claims)).stale == []
    assert not is_free(engine), "neither of them may free the key of the third"
    assert worker.drain() == ["c"]
    assert is_free(engine)


def test_a_stale_settlement_frees_nothing(engine: Engine) -> None:
    dead, other = Worker(engine, "dead"), Worker(engine, "other")
    send(engine, tied("a"))
    (claim,) = dead.claim()
    engine.recover("dead", None)
    (again,) = other.claim()
    dead = Worker(engine, "dead")
    assert dead.step(Settlement(claim, ACK)).stale == [claim.id]
    assert not is_free(engine)
    other.end(again)
    assert is_free(engine)


@pytest.mark.parametrize("until", ["end", "start"])
def test_a_repeated_step_frees_nothing_more(engine: Engine, worker: Worker, until: Until) -> None:
    send(engine, tied("a", until=until))
    claims = worker.claim()
    taken = send(engine, tied("b", until=until))
    assert taken == [until == "start"]
    assert worker.again(want=1).claims == claims
    assert not is_free(engine)
    end = Settlement(claims[0], ACK)
    assert worker.step(end).stale == []
    send(engine, tied("c"))
    assert worker.again(end).stale == []
    assert not is_free(engine)


@every_engine
@pytest.mark.parametrize("until", ["end", "start"])
def test_the_jobs_of_a_dead_worker_have_their_keys_again(engine: Engine, until: Until) -> None:
    dead, heir = Worker(engine, "dead"), Worker(engine, "heir")
    send(engine, tied("a", until=until), tied("b", "x", until))
    assert len(dead.claim(2)) == 2
    recovered = engine.recover("dead", None)
    assert len(recovered.crashed) == len(recovered.returned) == 1
    assert not is_free(engine)
    assert not is_free(engine, "x")
    assert heir.drain() == ["a", "b"]
    assert is_free(engine)
    assert is_free(engine, "x")


def test_a_failing_job_keeps_its_key_until_it_has_failed(engine: Engine, worker: Worker) -> None:
    send(engine, tied("a"))
    (claim,) = worker.claim()
    worker.end(claim, Failing(State(1, 0, 1, line())))
    assert not is_free(engine)
    worker.end(claim, Bury(State(1)))
    assert is_free(engine)


@every_engine
def test_a_failed_job_whose_key_another_has_stays_failed(engine: Engine, worker: Worker) -> None:
    send(engine, tied("a"), tied("lone", "x"))
    for claim in worker.claim(2):
        worker.end(claim, Bury(State(1)))
    (holder,) = engine.push([tied("b")])
    lone, failed = (one.id for one in engine.failed())
    assert stored(engine, failed).holder == holder
    assert engine.retry([failed, lone], {failed: b"new", lone: b"lone again"}) == [lone]
    assert stored(engine, failed).status == "failed"
    assert stored(engine, lone).unique == StoredKey("x", "end")
    assert not is_free(engine, "x")
    assert sorted(worker.drain()) == ["b", "lone again"]
    assert engine.retry([failed]) == [failed]
    assert stored(engine, failed).holder == failed
    assert not is_free(engine)
    worker.drain()
    assert is_free(engine)
    assert not left_over(engine)


def test_of_two_failed_jobs_with_one_key_the_older_returns(engine: Engine, worker: Worker) -> None:
    for name in ("a", "b"):
        send(engine, tied(name))
        worker.end(worker.claim()[0], Bury(State(1)))
    ids = sorted(one.id for one in engine.failed())
    assert engine.retry(ids[::-1]) == ids[:1], "the older one, however they are listed"
    assert [one.id for one in engine.failed()] == ids[1:]
    assert engine.forget(ids[1:]) == ids[1:]
    assert worker.drain() == ["a"]
    assert is_free(engine)


def test_a_moved_job_keeps_its_key(engine: Engine) -> None:
    one = tied("a")
    send(engine, one)
    assert engine.move([one.id], "other") == [one.id]
    assert not is_free(engine)
    assert stored(engine, one.id).unique == StoredKey("k", "end")
    assert Worker(engine, "w2", queues=("other",)).drain() == ["a"]
    assert is_free(engine)
    assert not left_over(engine)


@every_engine
@pytest.mark.parametrize("place", ["ready", "delayed", "returned", "parked", "released"])
def test_a_job_replaces_the_one_that_waits(engine: Engine, worker: Worker, place: str) -> None:
    rule = full(engine)
    old = tied("old", until="start", delay=HOUR if place == "delayed" else 0)
    send(engine, old)
    ends: dict[str, Outcome] = {
        "returned": GIVE_BACK,
        "parked": Park((rule,), 0),
        "released": ReleaseUntil(engine.now() + HOUR, State(1), rule),
    }
    if place in ends:
        worker.end(worker.claim()[0], ends[place])
    new = tied("new", until="start", replaces=True)
    push(engine, "behind")
    assert send(engine, new) == [True]
    assert engine.find(old.id) is None
    assert (total(engine, "replaced"), total(engine, "skipped")) == (1, 0)
    assert count_of(engine)._replace(ready=2) == count_of(engine)
    assert stored(engine, new.id).holder == new.id
    assert worker.drain() == ["behind", "new"]
    assert is_free(engine)


def test_of_several_replacing_jobs_the_last_one_stays(engine: Engine, worker: Worker) -> None:
    pushes = [tied(name, until="start", replaces=True, delay=SECOND) for name in "abc"]
    assert send(engine, *pushes) == [True, True, True]
    assert [engine.find(one.id) is None for one in pushes] == [True, True, False]
    assert total(engine, "replaced") == 2
    assert count_of(engine).delayed == 1


def test_what_runs_is_not_replaced(engine: Engine, worker: Worker) -> None:
    """Neither a job that has freed its key at its start, nor one that has it until its end."""
    send(engine, tied("start", "x", "start"), tied("end", "y"))
    claims = worker.claim(2)
    running = claims[1].id
    new = [tied("new", key, "start", replaces=True) for key in "xy"]
    assert engine.push(new) == [new[0].id, running]
    assert total(engine, "skipped") == 1
    assert total(engine, "replaced") == 0
    assert worker.step(*(Settlement(one, ACK) for one in claims)).stale == []
    assert worker.drain() == ["new"]
    assert is_free(engine, "x")
    assert is_free(engine, "y")


def test_a_key_of_a_time_ends_by_the_clock(engine: Engine, worker: Worker, clock: Clock) -> None:
    first = tied("a", until="time", lasts=HOUR)
    send(engine, first)
    assert worker.drain() == ["a"]
    clock.forward(HOUR - 1)
    assert engine.push([tied("b", until="time", lasts=HOUR)]) == [first.id]
    clock.forward(1)
    assert send(engine, tied("c", until="time", lasts=HOUR)) == [True]
    assert not is_free(engine)
    clock.forward(2 * HOUR)
    assert is_free(engine)


@pytest.mark.parametrize(
    "engine_url", ["mariadb", "postgresql", "sqlite"], indirect=True
)  # Redis expires them
def test_keys_whose_time_is_over_are_swept(engine: Engine, clock: Clock) -> None:
    send(engine, *(tied(str(n), str(n), "time", SECOND + n) for n in range(5)), tied("end", "end"))
    clock.forward(SECOND + 2)
    engine.sweep(HOUR)
    left = rows(engine, "SELECT name FROM {unique_keys} ORDER BY name")
    assert [to_text(name) for (name,) in left] == ["3", "4", "end"]


def test_a_delayed_job_is_due_when_it_should_be(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    send(
        engine,
        tied("at", "1", at=clock.now + 2 * SECOND),
        tied("delay", "2", delay=SECOND),
        tied("past", "3", at=clock.now - HOUR),
        tied("plain", "", delay=3 * SECOND),
    )
    assert worker.drain() == ["past"]
    clock.forward(SECOND)
    assert worker.drain() == ["delay"]
    clock.forward(2 * SECOND)
    assert worker.drain() == ["at", "plain"]


def delete_by_hand(engine: Engine, id_: str) -> None:
    if isinstance(engine, RedisEngine):
        call(engine, "HDEL", f"bodies:{id_[:10]}", id_)
    else:
        change(engine, "DELETE FROM {jobs} WHERE id = ?", id_)


@every_engine
@pytest.mark.parametrize("replaces", [False, True])
def test_a_key_whose_job_is_gone_is_void(engine: Engine, worker: Worker, replaces: bool) -> None:
    old, new = tied("old", until="start"), tied("new", until="start", replaces=replaces)
    send(engine, old)
    assert [check.name for check in engine.doctor()].count("unique keys") == 0
    delete_by_hand(engine, old.id)
    (check,) = (check for check in engine.doctor() if check.name == "unique keys")
    assert (check.level, check.text.split()[0]) == ("warn", "1")
    assert send(engine, new) == [True]
    assert total(engine, "replaced") == 0
    claims = worker.claim(2)
    assert "new" in named(claims)
    assert is_free(engine)
    for claim in claims:
        worker.end(claim, ACK)
    assert not left_over(engine)


def rights_of(engine: Engine) -> dict[str, bytes]:
    """The rights that the engine has stored, by id."""
    if not isinstance(engine, RedisEngine):
        return {
            to_text(id_): effects for id_, effects in rows(engine, "SELECT id, effects FROM {jobs}")
        }
    found = {}
    for name in call(engine, "KEYS", "bodies:*"):
        flat = engine.client.call(b"HGETALL", name)
        for id_, text in zip(flat[::2], flat[1::2], strict=True):
            until, _, key = text.split(b"\n")[0].split(b"\t")[1].partition(b" ")
            found[to_text(id_)] = UniqueKey(key.decode(), until.decode()).stored
    return found


AWKWARD = (
    'jobs:A {"x":"\\u0001\\"\\\\"}', "'", "\\'", '"', "\\", "%s %q %%",
    "\x7f", " ", "ü\u2028\u3000😀", "{poolq}:", "é\u2028'\"\\ {x}", "a" * 255, "b" * 254 + "c",
    "%s ? :x", "K", "k", "k ",
)  # fmt: skip


@every_engine
def test_rights_are_stored_as_python_encodes_them(engine: Engine) -> None:
    keys = AWKWARD
    bodies = [b"'\\\0%s", b"'", b"\\", b'"', *(b"%d" % n for n in range(len(keys) - 4))]
    asked = [UniqueKey(key, "start") for key in keys]
    pairs = zip(bodies, asked, strict=True)
    pushes = [Push(new_id(), "q'", body, unique=unique) for body, unique in pairs]
    ids = [push.id for push in pushes]
    assert engine.push(pushes) == ids
    expected = [unique.stored for unique in asked]
    assert rights_of(engine) == dict(zip(ids, expected, strict=True))
    assert send(engine, *(tied(key, key) for key in keys)) == [False] * len(keys)
    assert [claim.body for claim in Worker(engine, queues=["q'"]).claim(20)] == bodies
    assert all(is_free(engine, key) for key in keys)


def test_jobs_of_several_queues_and_times_get_their_own_rights(
    engine: Engine, worker: Worker
) -> None:
    jobs = [("a", "q", 0), ("b", "p", HOUR), ("c", "q", HOUR), ("d", "o", 0), ("e", "p", 0)]
    jobs += [("f", "q", 0), ("g", "o", 0)]
    pushes = [tied(name, name, queue=queue, delay=delay) for name, queue, delay in jobs]
    assert send(engine, *pushes) == [True] * 7
    assert rights_of(engine) == {
        push.id: UniqueKey(push.body.decode(), "end").stored for push in pushes
    }
    claims = {
        queue: named(Worker(engine, f"of {queue}", queues=[queue]).claim(9)) for queue in "opq"
    }
    assert claims == {"o": ["d", "g"], "p": ["e"], "q": ["a", "f"]}
    assert send(engine, *(tied("late", name) for name in "bcz")) == [False, False, True]


def test_many_jobs_give_way_to_each_other(engine: Engine) -> None:
    """More than any engine stores at once; the last two have the keys of others."""
    keys = [*map(str, range(1001)), "0", "1000"]
    pushes = [Push(new_id(), "q", b"a", unique=UniqueKey(key, "end")) for key in keys]
    ids = [push.id for push in pushes]
    assert engine.push(pushes) == [*ids[:-2], ids[0], ids[1000]]
    assert count_of(engine).ready == 1001
    assert total(engine, "skipped") == 2


def left_over(engine: Engine) -> Sequence[object]:
    """The keys and rights that the engine has stored."""
    if isinstance(engine, RedisEngine):
        return list(call(engine, "KEYS", "unique:*"))
    return rows(engine, "SELECT name FROM {unique_keys}")


@every_engine
def test_nothing_is_left_over_when_the_queues_are_empty(engine: Engine, worker: Worker) -> None:
    untils: list[Until] = ["end", "start"]
    for until in untils:
        send(engine, *(tied(f"{until} {n}", f"{until} {n}", until) for n in range(8)))
    ends = (ACK, DISCARD, Bury(State(1)), GIVE_BACK, Release(0, State(1)), Park((RULE,), 0))
    claims = worker.claim(12)
    worker.step(*(Settlement(one, ends[at % 6]) for at, one in enumerate(claims)))
    assert left_over(engine)
    engine.recover("w1", None)
    engine.forget([one.id for one in engine.failed()])
    Worker(engine, "w2").drain()
    assert count_of(engine) == count_of(engine, "nothing")._replace(queue="q")
    assert left_over(engine) == []
