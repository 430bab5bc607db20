"""What a declared schedule is stored as, and what becomes of its ticks."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from poolq.errors import BadMessage, ScheduleError
from poolq.jobs import schedule_plan
from poolq.jobs.message import Message, decode, encode
from poolq.jobs.schedule_plan import ALL, DAY, ON_TIME, MessageHead, Plan, ScheduleSpec
from poolq.jobs.unique import UniqueKey
from tests.unit.refusals import refusal

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NOON = 20_000 * DAY + 12 * HOUR
MESSAGE = encode(Message(v=1, id="0" * 32, job="jobs:A", queue="q", payload={"big": 2**70}))


def spec(when: object = "1m", **options: object) -> ScheduleSpec:
    return schedule_plan.make(when, MESSAGE, options, "x")


def test_a_declaration_is_read_once_and_stored_as_it_is() -> None:
    made = spec("0 3 * * *", tz="Europe/Berlin", overlap="skip", catch_up="1h", jitter="2m")
    assert (made.cron, made.tz, made.overlap) == ("0 3 * * *", "Europe/Berlin", "skip")
    assert (made.catch_up, made.jitter) == (HOUR, 2 * MINUTE)
    assert schedule_plan.decode(schedule_plan.encode(made)) == made
    assert schedule_plan.head_of(made) == MessageHead("jobs:A", "q", {"big": 2**70}, 0)
    late = encode(Message(v=1, id="0" * 32, job="jobs:A", queue="q", expires=HOUR))
    assert schedule_plan.head_of(schedule_plan.make("1m", late, {}, "x")).expires == HOUR
    plain = spec(timedelta(minutes=1))
    assert plain == spec("60s", catch_up="1d", jitter=None, tz="UTC", overlap="allow")
    assert plain.interval == MINUTE
    assert spec(catch_up="all").catch_up == ALL
    assert spec(catch_up=0).catch_up == 0


def test_the_hash_names_what_a_schedule_does() -> None:
    made = [spec(), spec("2m"), spec(overlap="skip"), spec(jitter=1)]
    made += [spec("@daily"), spec("@daily", tz="Asia/Tokyo")]
    hashes = {schedule_plan.hash_of(schedule_plan.encode(one)) for one in made}
    assert len(hashes) == 6
    assert all(len(one) == 16 for one in hashes)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"overlap": "never"}, "x: overlap is 'never'; write 'allow', 'skip' or 'buffer'"),
        ({"catch_up": "some"}, "x: catch_up is 'some'; write a duration from 0"),
        ({"catch_up": -1},
         "x: catch_up is -1; write a duration from 0 to 100 years, such as '1d',"),
        ({"catch_up": None}, "x: catch_up is None; write a duration"),
        ({"jitter": -1}, "x: jitter is -1; a duration cannot be negative"),
        ({"tz": "Mars"}, "x: tz is 'Mars', which is no zone here"),
        ({"zone": "UTC"}, "x: unknown zone; use tz, overlap, catch_up, jitter"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(options: dict[str, object], why: str) -> None:
    assert why in refusal(ScheduleError, lambda: spec(**options))


@pytest.mark.parametrize(
    "stored",
    [
        b"", b"{", b"[]", b'{"v":1}', b'{"v":2,"message":{},"interval":1000000}',
        b'{"v":1,"message":{},"cron":"x"}', b'{"v":1,"message":{}}',
        b'{"v":1,"message":{},"cron":"0 0 * * *","tz":"Mars"}',
        b'{"v":1,"message":{},"interval":5,"overlap":"never"}',
    ],
)  # fmt: skip
def test_what_this_poolq_cannot_read_is_refused(stored: bytes) -> None:
    with pytest.raises(ScheduleError, match="the schedule"):
        schedule_plan.decode(stored)


def test_a_tick_in_time_has_one_job() -> None:
    for one in (spec(), spec(catch_up=0), spec(catch_up="all"), spec("* * * * *")):
        for late in (0, SECOND, 59 * SECOND):
            plan = schedule_plan.plan(one, NOON, NOON + late)
            assert plan == Plan([NOON], 0, NOON + MINUTE)


@pytest.mark.parametrize("catch_up", ["1d", 0, "30s", "all"])
def test_each_tick_on_time_has_its_job_whatever_catch_up_says(catch_up: object) -> None:
    second = spec("1s", catch_up=catch_up)
    four = schedule_plan.plan(second, NOON, NOON + 4 * SECOND + 1)
    assert four == Plan([NOON + n * SECOND for n in range(5)], 0, NOON + 5 * SECOND)
    minute = schedule_plan.plan(second, NOON, NOON + ON_TIME)
    assert (len(minute.ticks), minute.left_out) == (61, 0)


def test_of_ticks_that_are_late_together_and_exclude_each_other_the_last_has_the_job() -> None:
    unique = msgspec.structs.replace(spec("1s"), unique=UniqueKey("k", "end"))
    for one in (spec("1s", overlap="skip"), spec("1s", overlap="buffer"), unique):
        plan = schedule_plan.plan(one, NOON, NOON + 4 * SECOND)
        assert plan == Plan([NOON + 4 * SECOND], 0, NOON + 5 * SECOND, left_out=4)


def test_what_has_no_job_is_counted() -> None:
    later = NOON + HOUR
    jobs = {"1d": 61, 0: 61, "all": 100}
    for catch_up, with_job in jobs.items():
        plan = schedule_plan.plan(spec("1s", catch_up=catch_up), NOON, later)
        assert (len(plan.ticks), plan.left_out) == (with_job, 3601 - with_job)
        assert plan.ticks[-1] == later


@pytest.mark.parametrize("when", ["1m", "* * * * *"])
def test_missed_ticks_have_one_job_for_all_or_one_for_each(when: str) -> None:
    now = NOON + HOUR + SECOND
    last = NOON + HOUR
    assert schedule_plan.plan(spec(when), NOON, now) == Plan([last], 0, last + MINUTE, 60)
    every = schedule_plan.plan(spec(when, catch_up="all"), NOON, now)
    assert every.ticks == [NOON + n * MINUTE for n in range(61)]
    assert (every.missed, every.due) == (60, last + MINUTE)
    many = schedule_plan.plan(spec(when, catch_up="all"), NOON, NOON + 10 * HOUR)
    assert many.ticks == [NOON + 10 * HOUR - n * MINUTE for n in reversed(range(100))]
    one = schedule_plan.plan(spec(when, catch_up="all", overlap="skip"), NOON, now)
    assert one.ticks == [last]


def test_what_was_missed_too_long_ago_has_no_job() -> None:
    daily = spec("0 12 * * *", catch_up="1h")
    assert schedule_plan.plan(daily, NOON, NOON + HOUR) == Plan([NOON], 1, NOON + DAY)
    assert schedule_plan.plan(daily, NOON, NOON + HOUR + 1) == Plan([], 0, NOON + DAY, 1)
    assert schedule_plan.plan(daily, NOON, NOON + 3 * DAY).ticks == [NOON + 3 * DAY]
    none = spec("0 12 * * *", catch_up=0)
    assert schedule_plan.plan(none, NOON, NOON + ON_TIME).ticks == [NOON]
    assert schedule_plan.plan(none, NOON, NOON + ON_TIME + 1).ticks == []


def test_a_tick_that_has_waited_was_not_missed() -> None:
    daily = spec("24h", catch_up=0, overlap="buffer")
    assert schedule_plan.plan(daily, NOON, NOON + 3 * HOUR) == Plan([], 0, NOON + DAY, 1)
    waited = schedule_plan.plan(daily, NOON, NOON + 3 * HOUR, waited=True)
    assert waited == Plan([NOON], 0, NOON + DAY)
    two = schedule_plan.plan(daily, NOON, NOON + DAY + HOUR, waited=True)
    assert two == Plan([NOON + DAY], 0, NOON + 2 * DAY, 1), "one job for both"


def test_missed_ticks_of_a_unique_job_have_one_job() -> None:
    one = msgspec.structs.replace(spec("1h", catch_up="all"), unique=UniqueKey("k", "end"))
    assert schedule_plan.plan(one, NOON, NOON + 3 * HOUR).ticks == [NOON + 3 * HOUR]


def test_the_delay_of_a_tick_is_within_the_jitter_and_always_the_same() -> None:
    one = spec(jitter="10s")
    drawn = [schedule_plan.delay_of(one, "a", NOON + n) for n in range(1000)]
    assert drawn == [schedule_plan.delay_of(one, "a", NOON + n) for n in range(1000)]
    assert all(0 <= delay <= 10 * SECOND for delay in drawn)
    tenths = [sum(n * SECOND <= delay < (n + 1) * SECOND for delay in drawn) for n in range(10)]
    assert min(tenths) > 50, "they are spread evenly"
    assert drawn != [schedule_plan.delay_of(one, "b", NOON + n) for n in range(1000)]
    assert schedule_plan.delay_of(spec(), "a", NOON) == 0


def test_the_message_of_a_tick_has_its_own_id_and_time() -> None:
    body = schedule_plan.body_of(spec(), "f" * 32, NOON)
    message = decode(body)
    assert (message.id, message.scheduled_at, message.payload) == ("f" * 32, NOON, {"big": 2**70})
    assert message.job == "jobs:A"
    with pytest.raises(BadMessage):
        schedule_plan.body_of(msgspec.structs.replace(spec(), message=msgspec.Raw(b"{}")), "f", 1)


def test_the_next_ticks_follow_each_other() -> None:
    assert schedule_plan.first_tick(spec(), NOON + 1) == NOON + 1 + MINUTE
    assert schedule_plan.first_tick(spec("* * * * *"), NOON + 1) == NOON + MINUTE
    found = [schedule_plan.next_ticks(spec(), NOON, 3, now) for now in (NOON - 1, NOON + HOUR + 1)]
    assert found[0] == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]
    assert found[1] == [NOON, NOON + HOUR + MINUTE, NOON + HOUR + 2 * MINUTE], "it waits since NOON"
