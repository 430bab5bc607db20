"""What a keeper does about schedules that are due, on a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import pytest

from poolq.engines.base import Engine, Push
from poolq.engines.schedule_store import NEVER, NewSchedule, Scheduled, Tick, TickEnd
from poolq.jobs import schedule_plan
from poolq.jobs.ids import new_id
from poolq.jobs.message import Message, decode, encode
from poolq.jobs.unique import UniqueKey
from poolq.keeper.ticker import LOOK_INTERVAL, MAX_JOBS, Ticker
from poolq.log.events import Event

SECOND = 1_000_000
HOUR = 3600 * SECOND
MESSAGE = encode(Message(v=1, id="0" * 32, job="jobs:A", queue="q"))


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.beat("n1", b"{}")
    return engine


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def ticker(engine: Engine, events: list[Event]) -> Ticker:
    return Ticker(engine, events.append, lambda: None, lambda: 0)


def add(engine: Engine, name: str = "a", ago: int = 0, when: str = "1h", **options: object) -> int:
    """Add a schedule that is due since `ago` microseconds. Returns its tick."""
    spec = schedule_plan.encode(schedule_plan.make(when, MESSAGE, options, "x"))
    due = engine.now() - ago
    engine.schedules.put(NewSchedule(name, schedule_plan.hash_of(spec), spec, due))
    return due


def stored(engine: Engine, name: str = "a") -> Scheduled:
    found = engine.schedules.get(name)
    assert found is not None
    return found


def test_what_is_due_gets_a_job_that_knows_its_tick(engine: Engine, ticker: Ticker) -> None:
    due = add(engine)
    ticker.run()
    (job,) = engine.page("ready").jobs
    message = decode(job.body)
    assert (message.id, message.job, message.scheduled_at) == (job.id, "jobs:A", due)
    assert (stored(engine).due, stored(engine).job) == (due + HOUR, job.id)
    ticker.run()
    assert len(engine.page("ready").jobs) == 1


def test_a_keeper_looks_when_the_next_is_due_but_at_least_every_five_seconds(
    engine: Engine, ticker: Ticker
) -> None:
    before = monotonic()
    ticker.run()
    assert before + LOOK_INTERVAL <= ticker.next_look <= monotonic() + LOOK_INTERVAL
    assert not ticker.any
    assert not ticker.is_due()
    before = monotonic()
    add(engine, ago=-2 * SECOND)
    ticker.run()
    after = monotonic()  # the engine's clock was read a moment before or after the other one
    assert before + 2 - (after - before) <= ticker.next_look <= after + 2
    assert ticker.any


def test_code_that_was_declared_is_looked_at_at_once(engine: Engine) -> None:
    generation = [1]
    ticker = Ticker(engine, print, lambda: None, lambda: generation[0])
    ticker.run()
    assert not ticker.is_due()
    generation[0] = 2
    assert ticker.is_due()


def test_jitter_delays_the_job_not_the_tick(engine: Engine, ticker: Ticker) -> None:
    due = add(engine, jitter="10d")
    ticker.run()
    (job,) = engine.page("delayed").jobs
    assert due < job.at <= due + 240 * HOUR
    assert decode(job.body).scheduled_at == due


def test_ticks_that_have_no_job_are_reported_at_once_and_then_together(
    engine: Engine, ticker: Ticker, events: list[Event]
) -> None:
    add(engine, ago=4 * SECOND, when="1s", overlap="skip")
    ticker.run()
    assert (stored(engine).ticks, stored(engine).skipped) == (1, 4)
    for _ in range(3):
        engine.schedules.pause("a")
        engine.schedules.resume("a", engine.now() - SECOND // 2)
        ticker.run()
    assert stored(engine).skipped == 7
    (said,) = map(str, events)
    assert "schedule a: 4 ticks have no job, as one job stands for several" in said


def test_many_late_ticks_are_stored_in_several_acts(
    engine: Engine, ticker: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[int] = []

    def tick(ticks: Sequence[Tick]) -> list[TickEnd]:
        acts.append(sum(len(one.pushes) for one in ticks))
        return tick_(ticks)

    tick_ = engine.schedules.tick
    monkeypatch.setattr(engine.schedules, "tick", tick)
    for number in range(20):
        add(engine, f"s{number}", ago=50 * SECOND, when="1s")
    ticker.run()
    assert sum(acts) >= 20 * 51
    assert max(acts) <= MAX_JOBS
    assert all(stored(engine, f"s{number}").skipped == 0 for number in range(20))


def test_missed_ticks_are_reported(engine: Engine, ticker: Ticker, events: list[Event]) -> None:
    add(engine, "one", ago=3 * HOUR + 90 * SECOND)
    add(engine, "all", ago=3 * HOUR + 90 * SECOND, catch_up="all")
    ticker.run()
    assert sorted(str(one.text) for one in events) == [  # type: ignore[attr-defined]
        "schedule all: 4 jobs of missed ticks stored now",
        "schedule one: 1 job of missed ticks stored now",
        "schedule one: 3 ticks have no job, as one job stands for several",
    ]
    assert (stored(engine, "one").ticks, stored(engine, "all").ticks) == (1, 4)


def test_a_schedule_that_cannot_be_read_hinders_no_other(
    engine: Engine, ticker: Ticker, events: list[Event]
) -> None:
    engine.schedules.put(NewSchedule("broken", "b", b"?", engine.now() - HOUR))
    add(engine)
    for _ in range(2):
        ticker.run()
    assert len(engine.page("ready").jobs) == 1
    (event,) = events
    assert "schedule broken cannot be ticked: the schedule cannot be read" in str(event)
    found = stored(engine, "broken")
    assert engine.now() + 50 * SECOND < found.at < NEVER
    assert found.ticks == 0


def test_a_buffered_tick_is_tried_again_in_a_second(engine: Engine, ticker: Ticker) -> None:
    add(engine, ago=SECOND, when="1s", overlap="buffer")
    ticker.run()
    found = stored(engine)
    engine.schedules.pause("a")
    engine.schedules.resume("a", found.last)
    before = monotonic()
    ticker.run()
    assert stored(engine).ticks == 1
    assert before < ticker.next_look <= monotonic() + 1


def test_a_tick_that_waits_is_kept_however_long_that_takes(
    engine: Engine, ticker: Ticker, events: list[Event]
) -> None:
    for name in ("missed", "waited"):
        add(engine, name, ago=2 * HOUR, when="10h", overlap="buffer", catch_up=0)
    one = stored(engine, "waited")
    engine.schedules.tick([Tick(one.name, one.hash, one.due, one.due, at=one.due + 1)])
    ticker.run()
    assert (stored(engine, "missed").ticks, stored(engine, "waited").ticks) == (0, 1)
    (job,) = engine.page("ready").jobs
    assert decode(job.body).scheduled_at == one.due
    assert [str(one.text) for one in events] == [  # type: ignore[attr-defined]
        "schedule missed: a tick has no job, as it was due too long ago for catch_up"
    ]


def test_a_ticks_job_gets_its_unique_key(engine: Engine, ticker: Ticker) -> None:
    right = UniqueKey("k", "end")
    made = schedule_plan.make("1h", MESSAGE, {}, "x", unique=right)
    spec = schedule_plan.encode(made)
    engine.schedules.put(NewSchedule("a", schedule_plan.hash_of(spec), spec, engine.now()))
    ticker.run()
    (job,) = engine.page("ready").jobs
    other = Push(new_id(), "q", MESSAGE, unique=right)
    assert engine.push([other]) == [job.id]


def test_what_a_person_has_hidden_ticks_once_that_is_removed(
    engine: Engine, ticker: Ticker
) -> None:
    add(engine, when="1h")
    spec = schedule_plan.encode(schedule_plan.make("10m", MESSAGE, {}, "x"))
    assert engine.schedules.declare("n1", 1, [NewSchedule("a", "c0de", spec, 2**52)]) == ["a"]
    ticker.run()
    assert not stored(engine).declared
    engine.schedules.remove("a")
    ticker.run()
    found = stored(engine)
    assert (found.hash, found.declared, found.ticks) == ("c0de", True, 0)
    assert abs(found.due - engine.now() - HOUR // 6) < 60 * SECOND
