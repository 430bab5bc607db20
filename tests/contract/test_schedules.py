"""Schedules: each tick gets its job once, whoever looks and whoever declares."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from poolq.engines.base import Engine, Push, QueueCounts
from poolq.engines.schedule_store import NEVER, REMOVED, NewSchedule, Scheduled, ScheduleStore, Tick
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, Bury, Release
from poolq.jobs.schedule_plan import Overlap
from poolq.jobs.unique import UniqueKey
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    count_of,
    every_engine,
    named,
    new_id,
    push,
    stored,
    total,
)

pytestmark = every_engine

PAST = 5 * HOUR  # since the epoch: due for long
FUTURE = 2**52


@pytest.fixture
def store(engine: Engine) -> ScheduleStore:
    """With the living nodes n1 and n2."""
    for node in ("n1", "n2"):
        engine.beat(node, b"{}")
    return engine.schedules


def new(name: str = "a", version: str = "aa", due: int = PAST) -> NewSchedule:
    return NewSchedule(name, version, b"spec\nof " + version.encode(), due)


def declare(
    store: ScheduleStore, *schedules: NewSchedule, node: str = "n1", deploy: int = 1
) -> list[str]:
    return store.declare(node, deploy, schedules)


@dataclass
class Ticker:
    """Ticks schedules as a keeper does, each to a time an hour later, with a job of its name."""

    engine: Engine
    overlap: Overlap = "allow"
    unique: UniqueKey | None = None
    jobs: list[str] = field(default_factory=list)

    def due(self) -> list[Scheduled]:
        return self.engine.schedules.look(100).due

    def make(self, one: Scheduled, due: int = 0, jobs: int = 1) -> Tick:
        bodies = [f"{one.name} {n}" if n else one.name for n in range(jobs)]
        at, key = one.due, self.unique
        pushes = [Push(new_id(), "q", body.encode(), 0, at, unique=key) for body in bodies]
        self.jobs += [push.id for push in pushes]
        later = due or one.due + HOUR
        return Tick(one.name, one.hash, one.due, later, self.overlap, one.due, pushes)

    def tick(self, *schedules: Scheduled, due: int = 0, jobs: int = 1) -> Sequence[str]:
        made = [self.make(one, due, jobs) for one in schedules]
        return self.engine.schedules.tick(made)


@pytest.fixture
def ticker(engine: Engine, store: ScheduleStore) -> Ticker:
    return Ticker(engine)


def names(schedules: Sequence[Scheduled] | Sequence[NewSchedule]) -> list[str]:
    return [one.name for one in schedules]


def got(store: ScheduleStore, name: str = "a") -> Scheduled:
    found = store.get(name)
    assert found is not None
    return found


def test_nothing_is_due_where_nothing_is_declared(store: ScheduleStore) -> None:
    look = store.look(10)
    assert look[1:] == ([], None, False, False, [])
    assert look.now > PAST
    assert (store.all(), store.soonest(9), store.get("a")) == ([], [], None)
    assert store.declared("n1") == 0


def test_what_is_declared_is_stored_as_it_is(store: ScheduleStore) -> None:
    assert declare(store, new("b", "bb", FUTURE), new("a", "aa")) == []
    assert store.declared("n1") == 1
    a = Scheduled("a", "aa", b"spec\nof aa", PAST, PAST)
    b = Scheduled("b", "bb", b"spec\nof bb", FUTURE, FUTURE)
    assert store.all() == store.soonest(9) == [a, b]
    assert store.soonest(1) == [a]
    assert (store.get("a"), len(store.all())) == (a, 2)
    look = store.look(10)
    assert look[1:] == ([a], FUTURE, True, False, [])
    assert store.look(1).more


def test_a_tick_advances_the_schedule_and_stores_the_job(
    engine: Engine, store: ScheduleStore, ticker: Ticker, worker: Worker
) -> None:
    """A keeper whose answer was lost, or another that has read the same, changes nothing more."""
    declare(store, new())
    (one,) = ticker.due()
    answers = [ticker.tick(one, due=FUTURE) for _ in range(3)]
    assert answers == [["stored"], ["lost"], ["lost"]]
    after = got(store)
    assert after == one._replace(due=FUTURE, at=FUTURE, last=PAST, job=ticker.jobs[0], ticks=1)
    assert count_of(engine) == QueueCounts("q", ready=1)
    assert ticker.due() == []
    (claim,) = worker.claim()
    assert (claim.id, claim.body) == (ticker.jobs[0], b"a")
    worker.end(claim)
    assert engine.find(claim.id) is None


def test_what_has_changed_since_it_was_read_is_not_ticked(
    engine: Engine, store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new("a"), new("b"), new("c", due=FUTURE), new("d"))
    for one in ("a", "b", "c", "d"):
        engine.schedules.get(one)
    stale = store.all()
    declare(store, new("a", "a2"), new("b"), new("c", due=FUTURE), new("d"))
    store.pause("b")
    assert ticker.tick(*stale) == ["lost", "lost", "lost", "stored"], "changed, paused, not yet due"
    assert ticker.tick(stale[0]._replace(name="none")) == ["lost"]
    assert count_of(engine) == QueueCounts("q", ready=1)


def test_ticks_and_dispatches_that_replace_each_other_leave_one_job(
    engine: Engine, store: ScheduleStore, opened: OpenEngine, threads: ThreadPoolExecutor
) -> None:
    right = UniqueKey("k", "start", 0, True)
    declared = [new(f"s{n}") for n in range(4)]
    engines = [opened(engine.url, engine.namespace) for _ in range(4)]
    for number in range(2):
        engines[number].beat(f"k{number}", b"{}")
        engines[number].schedules.declare(f"k{number}", 1, declared)

    def act(number: int) -> int:
        if number >= 2:
            jobs = [Push(new_id(), "q", b"dispatched", unique=right) for _ in range(12)]
            return sum(engines[number].push([one]) == [one.id] for one in jobs)
        ticker, made = Ticker(engines[number], unique=right), 0
        while due := [one for one in ticker.due() if one.due < PAST + 3 * HOUR]:
            made += list(ticker.tick(*due)).count("stored")
        return made

    made = list(threads.map(act, range(4)))
    assert made[2:] == [12, 12]
    assert sum(made[:2]) == sum(one.ticks for one in store.all()) == 12
    assert (count_of(engine).ready, total(engine, "replaced")) == (1, 35)
    assert total(engine, "skipped") == 0


def test_several_missed_ticks_are_stored_together(
    engine: Engine, store: ScheduleStore, ticker: Ticker, worker: Worker
) -> None:
    declare(store, new())
    (one,) = ticker.due()
    assert ticker.tick(one, due=FUTURE, jobs=3) == ["stored"]
    assert (got(store).ticks, got(store).job) == (3, ticker.jobs[-1])
    assert named(worker.claim(9)) == ["a", "a 1", "a 2"]


@pytest.mark.parametrize("right", [None, UniqueKey("k", "end")])
def test_ticks_without_a_job_are_counted(
    engine: Engine, store: ScheduleStore, ticker: Ticker, right: UniqueKey | None
) -> None:
    ticker.overlap, ticker.unique = "skip", right
    declare(store, new())
    for left_out, expected in ((3, (1, 3)), (4, (1, 8))):
        (one,) = ticker.due()
        store.tick([ticker.make(one)._replace(left_out=left_out)])
        assert (got(store).ticks, got(store).skipped) == expected, "the second one is skipped, too"
    (one,) = ticker.due()
    store.tick([ticker.make(one, due=FUTURE, jobs=0)._replace(left_out=2)])
    assert (got(store).ticks, got(store).skipped) == (1, 10)
    assert count_of(engine).ready == 1


def test_a_tick_may_have_no_job(engine: Engine, store: ScheduleStore, ticker: Ticker) -> None:
    declare(store, new())
    (one,) = ticker.due()
    assert ticker.tick(one, due=FUTURE, jobs=0) == ["stored"]
    later = one._replace(due=FUTURE, at=FUTURE)
    assert got(store) == later
    assert count_of(engine) == QueueCounts("q")
    declare(store, new(), new("b"))
    (one,) = ticker.due()
    assert store.tick([ticker.make(one, due=one.due, jobs=0)._replace(at=FUTURE)]) == ["stored"]
    assert got(store, "b") == one._replace(at=FUTURE), "it is put off"


def test_a_ticks_job_may_be_due_later_and_may_expire(
    engine: Engine, store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new())
    (one,) = ticker.due()
    times = ((one.due, HOUR), (FUTURE, HOUR), (FUTURE, 0))
    pushes = [Push(new_id(), "q", b"a", 0, at, expires) for at, expires in times]
    before = engine.now()
    assert store.tick([ticker.make(one)._replace(pushes=pushes)]) == ["stored"]
    assert count_of(engine) == QueueCounts("q", ready=1, delayed=2)
    late, later, never = (stored(engine, push.id) for push in pushes)
    assert before + HOUR <= late.expires_at <= engine.now() + HOUR
    assert late.expires_at == late.at + HOUR
    assert (later.expires_at, never.expires_at) == (FUTURE + HOUR, 0)


def test_a_waiting_keeper_is_woken_by_the_job_of_a_tick(
    engine: Engine, store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new())
    assert engine.wait(["q"], 0.01) == 0
    ticker.tick(*ticker.due())
    assert engine.wait(["q"], 5) == 1
    assert engine.wait(None, 5) <= 1


@pytest.mark.parametrize("state", ["ready", "running", "delayed"])
def test_skip_leaves_out_a_tick_while_the_job_before_is_unfinished(
    engine: Engine, store: ScheduleStore, ticker: Ticker, worker: Worker, state: str
) -> None:
    ticker.overlap = "skip"
    declare(store, new())
    assert ticker.tick(*ticker.due()) == ["stored"]
    claims = worker.claim(int(state != "ready"))
    if state == "delayed":
        worker.end(claims[0], Release(HOUR, State(1), "retried"))
    assert stored(engine, ticker.jobs[0]).status == state
    assert ticker.tick(*ticker.due()) == ["skipped"]
    after = got(store)
    assert after[-4:] == (PAST, ticker.jobs[0], 1, 1)
    assert after.due == PAST + 2 * HOUR
    assert sum(count_of(engine)[1:4]) + count_of(engine).running == 1


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
@pytest.mark.parametrize("overlap", ["skip", "buffer"])
def test_a_finished_job_does_not_hinder_the_next(
    engine: Engine, ticker: Ticker, worker: Worker, end: str, overlap: Overlap
) -> None:
    ticker.overlap = overlap
    declare(engine.schedules, new())
    assert ticker.tick(*ticker.due()) == ["stored"]
    if end == "cancelled":
        assert engine.cancel(ticker.jobs) == ticker.jobs
    else:
        worker.end(worker.claim()[0], ACK if end == "done" else Bury(State(1)))
    assert ticker.tick(*ticker.due()) == ["stored"]
    assert (got(engine.schedules).ticks, got(engine.schedules).skipped) == (2, 0)


def test_buffer_puts_a_tick_off_until_the_job_before_is_finished(
    engine: Engine, store: ScheduleStore, ticker: Ticker, worker: Worker
) -> None:
    ticker.overlap = "buffer"
    declare(store, new())
    ticker.tick(*ticker.due())
    (claim,) = worker.claim()
    (one,) = ticker.due()
    assert ticker.tick(one) == ["waiting"]
    after = got(store)
    assert after == one._replace(at=after.at)
    assert after.at > engine.now(), "it is looked at again in a second"
    assert ticker.due() == []
    worker.end(claim)
    assert ticker.tick(one) == ["lost"], "not before then"


# Declarations.


def dispatch(engine: Engine, right: UniqueKey) -> tuple[str, str]:
    """Push a unique job. Returns its id, and the id of the job that has the key."""
    job = Push(new_id(), "q", b"dispatched", unique=right)
    return job.id, engine.push([job])[0]


def test_a_tick_whose_key_another_job_has_is_skipped(
    engine: Engine, store: ScheduleStore, ticker: Ticker, worker: Worker
) -> None:
    ticker.unique = UniqueKey("k", "end")
    declare(store, new())
    first, _ = dispatch(engine, ticker.unique)
    (one,) = ticker.due()
    assert ticker.tick(one) == ["skipped"]
    assert ticker.tick(one) == ["lost"]
    after = got(store)
    assert after == one._replace(due=PAST + HOUR, at=PAST + HOUR, skipped=1)
    assert (total(engine, "skipped"), count_of(engine).ready) == (1, 1)
    (claim,) = worker.claim()
    assert claim.id == first
    worker.end(claim)
    assert ticker.tick(*ticker.due()) == ["stored"]
    assert got(store)[-4:] == (PAST + HOUR, ticker.jobs[-1], 1, 1)
    assert dispatch(engine, ticker.unique)[1] == ticker.jobs[-1], "the tick's job has the key now"
    (claim,) = worker.claim()
    worker.end(claim)
    job, holder = dispatch(engine, ticker.unique)
    assert job == holder


def test_a_ticks_job_replaces_the_one_that_waits(
    engine: Engine, store: ScheduleStore, ticker: Ticker, worker: Worker
) -> None:
    ticker.unique = UniqueKey("k", "start", 0, True)
    declare(store, new())
    dispatch(engine, ticker.unique)
    for tick in (1, 2):
        assert ticker.tick(*ticker.due()) == ["stored"]
        assert (got(store).ticks, got(store).job) == (tick, ticker.jobs[-1])
        assert (total(engine, "replaced"), count_of(engine).ready) == (tick, 1)
    (claim,) = worker.claim()
    assert claim.id == ticker.jobs[-1]
    assert ticker.tick(*ticker.due()) == ["stored"], "what runs has no key"
    assert (total(engine, "replaced"), count_of(engine).ready) == (2, 1)


def test_a_ticks_job_does_not_replace_what_runs(
    engine: Engine, store: ScheduleStore, ticker: Ticker, worker: Worker
) -> None:
    ticker.unique = UniqueKey("k", "start", 0, True)
    declare(store, new())
    dispatch(engine, UniqueKey("k", "end"))
    (claim,) = worker.claim()
    assert ticker.tick(*ticker.due()) == ["skipped"]
    assert (got(store).skipped, total(engine, "skipped")) == (1, 1)
    worker.end(claim)
    assert ticker.tick(*ticker.due()) == ["stored"]


def test_of_several_ticks_with_one_key_the_first_stores_its_job(
    engine: Engine, store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new("a"), new("b"), new("c"))
    first, second, third = ticker.due()
    plain = ticker.make(third)
    ticker.unique = UniqueKey("k", "end")
    assert store.tick([ticker.make(first), ticker.make(second), plain]) == [
        "stored",
        "skipped",
        "stored",
    ]
    assert [(each.ticks, each.skipped) for each in store.all()] == [(1, 0), (0, 1), (1, 0)]
    assert (total(engine, "skipped"), count_of(engine).ready) == (1, 2)


def test_the_overlap_is_asked_before_the_key(
    engine: Engine, store: ScheduleStore, ticker: Ticker
) -> None:
    ticker.unique, ticker.overlap = UniqueKey("k", "start", 0, True), "buffer"
    declare(store, new())
    assert ticker.tick(*ticker.due()) == ["stored"]
    assert ticker.tick(*ticker.due()) == ["waiting"]
    assert (total(engine, "replaced"), count_of(engine).ready) == (0, 1)


def test_the_same_declaration_changes_nothing(store: ScheduleStore, ticker: Ticker) -> None:
    declare(store, new())
    ticker.tick(*ticker.due())
    before = store.all()
    for node in ("n1", "n2", "n1"):
        assert declare(store, new(due=FUTURE), node=node) == []
    assert store.all() == before
    assert names(ticker.due()) == ["a"]


def test_a_changed_declaration_starts_from_its_own_tick(
    store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new())
    ticker.tick(*ticker.due(), due=FUTURE)
    declare(store, new("a", "a2", FUTURE + 1))
    assert got(store) == Scheduled(
        "a", "a2", b"spec\nof a2", FUTURE + 1, FUTURE + 1, last=PAST, job=ticker.jobs[0], ticks=1
    )


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_tick_that_is_due_is_not_lost_if_its_schedule_changes(
    store: ScheduleStore, ticker: Ticker, node: str
) -> None:
    """No keeper has looked since, or the one that did was killed."""
    declare(store, new())
    (before,) = ticker.due()
    declare(store, new("a", "a2", FUTURE), node=node)
    assert ticker.tick(before) == ["lost"]
    (after,) = ticker.due()
    assert (after.hash, after.due, after.spec) == ("a2", PAST, b"spec\nof a2")
    assert ticker.tick(after, due=FUTURE) == ["stored"]
    declare(store, new("a", "a3", FUTURE + 1), node=node)
    assert got(store).due == FUTURE + 1, "its tick had been"


def test_an_old_deploy_takes_back_nothing(store: ScheduleStore) -> None:
    """A worker with the old code may start during a reload."""
    declare(store, new("a", "a1"), new("old"), deploy=1)
    many = [new(f"b{n:03}") for n in range(1200)]
    for _ in range(2):
        assert declare(store, new("a", "a2"), *many, deploy=2) == []
    assert declare(store, new("a", "a1"), new("old"), deploy=1) == []
    assert (store.declared("n1"), got(store).hash, got(store, "old").hash) == (2, "a2", REMOVED)
    assert (got(store, "b1199").state, len(store.all())) == ("active", 1202)
    assert store.all() == sorted(store.all())
    assert declare(store, new("a", "a3"), deploy=3) == []
    assert (store.declared("n1"), got(store).hash) == (3, "a3")
    assert {one.hash for one in store.all()} == {"a3", REMOVED}


def test_a_schedule_that_code_no_longer_declares_is_set_aside(store: ScheduleStore) -> None:
    declare(store, new("a"), new("b"), new("c"))
    declare(store, new("b"), node="n2")
    declare(store, new("c"))
    assert states(store) == ["undeclared", "active", "active"], "n2 still declares b"
    assert names(store.look(9).due) == ["b", "c"]
    declare(store)
    assert states(store) == ["undeclared", "active", "undeclared"]
    declare(store, node="n2")
    assert states(store) == ["undeclared"] * 3
    assert {one.hash for one in store.all()} == {REMOVED}
    look = store.look(9)
    assert (look.due, look.next) == ([], None)


def states(store: ScheduleStore) -> list[str]:
    return [one.state for one in store.all()]


def test_a_schedule_whose_code_was_gone_keeps_its_counters_and_starts_anew(
    engine: Engine, store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new())
    (one,) = ticker.due()
    assert ticker.tick(one) == ["stored"]
    before = engine.now()
    declare(store)
    assert before <= got(store).due <= engine.now()
    assert ticker.tick(one._replace(due=got(store).due)) == ["lost"]
    declare(store, node="n2")
    assert before <= got(store).due <= engine.now(), "it is gone since then"
    declare(store, new(due=FUTURE))
    assert got(store) == Scheduled(
        "a", "aa", b"spec\nof aa", FUTURE, FUTURE, last=PAST, job=ticker.jobs[0], ticks=1
    )


@pytest.mark.parametrize("end", ["reload", "stop"])
def test_a_paused_schedule_stays_paused_while_its_code_is_gone(
    engine: Engine, store: ScheduleStore, ticker: Ticker, end: str
) -> None:
    declare(store, new(), new("b"))
    ticker.tick(*ticker.due())
    assert store.pause("a")
    if end == "reload":
        declare(store, new("b"))
    else:
        engine.remove_node("n1")
    assert (got(store).state, got(store).ticks) == ("paused", 1)
    engine.beat("n1", b"{}")
    declare(store, new(), new("b"))
    assert (got(store).state, got(store).ticks) == ("paused", 1)
    assert names(ticker.due()) == ["b"]


def test_resuming_a_schedule_whose_code_is_gone_waits_for_its_code(
    store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new())
    store.pause("a")
    declare(store)
    gone = got(store).due
    assert store.resume("a", PAST)
    assert not store.resume("a", PAST)
    assert (got(store).state, got(store).due) == ("undeclared", gone)
    assert ticker.due() == []
    declare(store, new())
    assert names(ticker.due()) == ["a"]


def test_people_may_take_the_name_of_a_schedule_whose_code_is_gone(
    store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new())
    declare(store)
    assert store.put(new()) == "replaced", "though it is the same"
    assert not got(store).declared
    assert names(ticker.due()) == ["a"]


def test_of_two_hosts_the_code_that_was_accepted_last_counts(store: ScheduleStore) -> None:
    """In whichever order they declare it, and for as long as one of them has the name."""
    declare(store, new("a", "a1"), deploy=1)
    assert declare(store, new("a", "a3", FUTURE), node="n2", deploy=3) == []
    for _ in range(2):
        assert declare(store, new("a", "a1"), deploy=1) == []
        assert declare(store, new("a", "a2"), deploy=2) == []
        assert got(store).hash == "a3"
    declare(store, new("a", "a4"), deploy=4)
    assert got(store).hash == "a4"
    assert (store.declared("n1"), store.declared("n2")) == (4, 3)


def test_code_that_is_gone_counts_while_an_older_one_has_its_schedule(
    engine: Engine, store: ScheduleStore, ticker: Ticker
) -> None:
    declare(store, new("a", "a1"))
    declare(store, new("a", "a2"), new("b"), node="n2", deploy=2)
    engine.remove_node("n2")
    assert names(ticker.due()) == ["a"]
    assert (got(store).hash, got(store, "b").state) == ("a2", "undeclared")
    declare(store, deploy=3)
    assert got(store).hash == REMOVED
    declare(store, new("a", "a1"), node="n2", deploy=2)
    assert got(store).hash == "a1", "there is no newer one"


@pytest.mark.parametrize("end", ["leave", "reap"])
def test_what_no_living_node_declares_is_set_aside_until_one_does(
    engine: Engine, store: ScheduleStore, ticker: Ticker, end: str
) -> None:
    declare(store, new("a"), new("b"))
    declare(store, new("b"), node="n2")
    if end == "leave":
        engine.remove_node("n1")
    else:
        assert engine.reap("n1", engine.beat("n1", b"{}")["n1"]) is not None
    assert store.declared("n1") == 0, "it has to declare anew if it is there after all"
    assert names(store.look(10).due) == ["b"]
    assert [(one.name, one.state) for one in store.all()] == [("a", "undeclared"), ("b", "active")]
    assert got(store).at == NEVER
    engine.beat("n3", b"{}")
    declare(store, new("a", due=FUTURE), node="n3")
    assert (got(store).at, got(store).due) == (PAST, PAST), "it has missed its ticks since then"
    assert names(store.look(10).due) == ["a", "b"]


def test_what_no_living_node_has_declared_for_long_is_forgotten(
    engine: Engine, store: ScheduleStore
) -> None:
    """But neither what was set aside lately, nor what is paused, nor what a person has added."""
    lately = engine.now() - HOUR
    declare(store, new("old"), new("lately", due=lately), new("paused"), new("kept"))
    store.put(new("person"))
    store.pause("paused")
    store.pause("person")
    engine.remove_node("n1")
    assert names(store.look(9).due) == []
    assert got(store, "old").state == got(store, "lately").state == "undeclared"
    declare(store, new("kept"), node="n2")
    assert names(store.all()) == ["kept", "lately", "paused", "person"]
    assert got(store, "kept").state == "active"
    assert lately < got(store, "paused").due <= engine.now(), "its 30 days begin now"
    assert (got(store, "paused").hash, got(store, "person").hash) == (REMOVED, "aa")


def test_many_schedules_that_nobody_declares_do_not_hide_what_is_due(
    engine: Engine, store: ScheduleStore
) -> None:
    declare(store, *(new(f"a{n:03}") for n in range(450)))
    declare(store, new("z", due=PAST + 1), node="n2")
    assert len(store.look(500).due) == 451
    engine.remove_node("n1")
    looks = 0
    while (look := store.look(50)).more:
        assert look.due == []
        looks += 1
        assert looks < 15
    assert names(look.due) == ["z"]
    assert {one.state for one in store.all() if one.name != "z"} == {"undeclared"}


# People.


def test_every_node_ticks_the_schedules_of_people(store: ScheduleStore, ticker: Ticker) -> None:
    assert store.put(new()) == "added"
    assert names(ticker.due()) == ["a"]
    assert not got(store).declared
    assert ticker.tick(*ticker.due()) == ["stored"]
    assert store.put(new()) == "same"
    assert got(store).ticks == 1
    assert store.put(new("a", "a2", FUTURE)) == "replaced"
    assert (got(store).hash, got(store).due, got(store).ticks) == ("a2", FUTURE, 1)
    assert store.remove("a") == "removed"
    assert store.remove("a") == "unknown"
    assert store.look(9)[1:] == ([], None, False, False, [])


def test_people_and_code_do_not_replace_each_others_schedules(store: ScheduleStore) -> None:
    store.put(new("p"))
    declare(store, new("c"))
    assert store.put(new("c", "c2")) == "declared"
    assert declare(store, new("c"), new("p", "b2"), node="n2") == ["p"]
    assert (got(store, "c").hash, got(store, "p").hash) == ("aa", "aa")
    assert not got(store, "p").declared
    declare(store, node="n2")
    assert names(store.all()) == ["c", "p"]


def test_a_declaration_takes_effect_once_the_persons_schedule_of_its_name_is_gone(
    store: ScheduleStore, ticker: Ticker
) -> None:
    store.put(new("p", "b1", FUTURE))
    assert declare(store, new("p", "b3"), node="n2", deploy=3) == ["p"]
    assert declare(store, new("p", "b2"), deploy=2) == ["p"]
    assert store.put(new("p", "b4", FUTURE)) == "replaced"
    assert ticker.due() == []
    assert (got(store, "p").hash, got(store, "p").declared) == ("b4", False)
    assert store.remove("p") == "removed"
    (one,) = ticker.due()
    assert one == Scheduled("p", "b3", b"spec\nof b3", 0, 0), "a keeper finds its first tick"
    assert store.tick([Tick("p", "b3", 0, FUTURE)]) == ["stored"]
    assert got(store, "p") == one._replace(due=FUTURE, at=FUTURE)
    declare(store, new("p", "b2"), deploy=2)
    assert got(store, "p").hash == "b3"


def test_a_declaration_that_waited_for_a_person_ends_with_its_code(store: ScheduleStore) -> None:
    store.put(new())
    declare(store, new("a", "a2"))
    declare(store)
    assert store.remove("a") == "removed"
    assert store.all() == []


def test_people_remove_only_what_no_living_node_declares(
    engine: Engine, store: ScheduleStore
) -> None:
    declare(store, new())
    assert store.remove("a") == "declared"
    engine.remove_node("n1")
    assert store.remove("a") == "removed"
    assert store.all() == []


def test_a_paused_schedule_waits_until_it_is_resumed(store: ScheduleStore, ticker: Ticker) -> None:
    declare(store, new())
    assert not store.pause("none")
    assert not store.resume("a", FUTURE)
    assert store.pause("a")
    assert store.pause("a")
    assert ticker.due() == []
    assert (got(store).state, got(store).due) == ("paused", PAST)
    declare(store, new("a", "a2"))
    assert (got(store).state, ticker.due()) == ("paused", []), "a new version is paused, too"
    assert store.resume("a", PAST + SECOND)
    assert not store.resume("none", PAST)
    assert (got(store).state, got(store).due) == ("active", PAST + SECOND)
    assert names(ticker.due()) == ["a"]


def test_what_is_due_next_comes_first(store: ScheduleStore) -> None:
    declare(store, new("a", due=FUTURE), new("b", due=PAST + 2), new("c", due=PAST), new("d"))
    store.pause("c")
    assert names(store.soonest(9)) == ["d", "b", "a", "c"]
    assert names(store.soonest(2)) == ["d", "b"]
    assert store.look(9).next == FUTURE


def test_any_name_can_be_scheduled(engine: Engine, store: ScheduleStore, ticker: Ticker) -> None:
    odd = ["jobs:Käse", "a'b\"c", "x\\", "%s", "{ns}", "a" * 255, "-"]
    declare(store, *(new(name) for name in odd))
    assert sorted(names(store.all())) == sorted(odd)
    assert ticker.tick(*ticker.due()) == ["stored"] * len(odd)
    assert {one.ticks for one in store.all()} == {1}
    push(engine, "x")
    declare(store)
    assert {one.state for one in store.all()} == {"undeclared"}
