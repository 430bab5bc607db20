"""Periodic jobs as code declares them, and what is collected of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import poolq
from poolq.errors import AppError, OptionError, PayloadError, ScheduleError
from poolq.jobs import periodic, registry, schedule_plan
from poolq.jobs.job import build
from poolq.jobs.message import decode
from poolq.jobs.unique import UniqueKey
from tests.unit.refusals import refusal

BLANK = "0" * 32


class Report(poolq.Job):
    name = "report"
    queue = "reports"
    attempts = 3

    def run(self) -> None:
        """Do nothing."""


@poolq.job(name="ping")
def ping(host: str, times: int = 1) -> None:
    """Do nothing."""


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only what the test declares."""
    monkeypatch.setattr(periodic, "declared", [])
    poolq.connect("null://")
    yield
    poolq.connect("null://")


def test_a_declaration_is_collected_with_the_message_of_its_job() -> None:
    poolq.every("0 3 * * *", Report, {"a": 1}, tz="Asia/Tokyo", overlap="buffer", jitter="1m")
    ((name, stored),) = periodic.collect().items()
    spec = schedule_plan.decode(stored)
    assert name == "report"
    assert (spec.cron, spec.tz, spec.overlap) == ("0 3 * * *", "Asia/Tokyo", "buffer")
    message = decode(bytes(spec.message))
    assert message.id == BLANK
    assert (message.job, message.queue, message.attempts) == ("report", "reports", 3)
    assert message.payload == {"a": 1}


def test_a_unique_job_keeps_its_key_in_the_schedule() -> None:
    job = Report.set(unique=poolq.Unique("a", until="start", conflict="replace"))
    poolq.every("1m", job, {"a": 1, "b": 2})
    poolq.every("1m", Report, {"a": 1, "b": 2}, name="plain")
    found = {name: schedule_plan.decode(spec) for name, spec in periodic.collect().items()}
    assert found["report"].unique == UniqueKey('report {"a":1}', "start", 0, True)
    assert found["plain"].unique is None


def test_any_kind_of_job_can_be_periodic() -> None:
    poolq.every("1m", Report)
    poolq.every("1m", Report.set(queue="other"), name="b")
    poolq.every("1m", ping, {"host": "x"})
    poolq.every("1m", ping.set(attempts=2), {"host": "y"}, name="d")
    poolq.every(60, "elsewhere:Job", {"e": 1})
    found = {name: schedule_plan.decode(spec) for name, spec in periodic.collect().items()}
    assert sorted(found) == ["b", "d", "elsewhere:Job", "ping", "report"]
    assert schedule_plan.head_of(found["b"]).queue == "other"
    assert schedule_plan.head_of(found["ping"]).payload == {"host": "x"}
    assert schedule_plan.head_of(found["elsewhere:Job"]).queue == "default"
    assert decode(bytes(found["d"].message)).attempts == 2


def test_the_decorator_declares_too() -> None:
    @poolq.job(name="hourly", every="@hourly", attempts=4)
    def hourly(days: int = 30) -> None:
        """Do nothing."""

    ((name, stored),) = periodic.collect().items()
    spec = schedule_plan.decode(stored)
    assert (name, spec.cron) == ("hourly", "0 * * * *")
    assert decode(bytes(spec.message)).attempts == 4
    assert hourly(1) is None


def test_the_same_declaration_twice_counts_once() -> None:
    poolq.every("1m", Report)
    poolq.every("60s", Report)
    assert list(periodic.collect()) == ["report"]


def test_options_are_read_once_the_application_is_loaded() -> None:
    class Late(poolq.Job):
        name = "late"

        def run(self) -> None:
            """Do nothing."""

    poolq.every("1m", Late)
    Late.queue = "changed"
    late = schedule_plan.head_of(schedule_plan.decode(periodic.collect()["late"]))
    assert (late.job, late.queue) == ("late", "changed")


def test_callbacks_for_dispatches_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers of one process would make the schedule another one in each."""
    monkeypatch.setattr(poolq.on.dispatch, "functions", [lambda draft: 1 / 0])
    poolq.every("1m", Report)
    assert b"headers" not in periodic.collect()["report"]


def test_a_wrong_declaration_is_refused_where_it_stands() -> None:
    refused = refusal(ScheduleError, lambda: poolq.every("61 3 * * *", Report))
    assert refused.startswith(f"every() in {__name__}:")
    assert "the minute is '61'" in refused
    with pytest.raises(ScheduleError, match="catch_up is 'x'"):
        poolq.every("1m", Report, catch_up="x")
    with pytest.raises(ScheduleError, match="the time is 'sometimes'"):
        poolq.job(every="sometimes")(lambda: None)
    assert periodic.declared == []


@pytest.mark.parametrize(
    ("job", "payload", "options", "why"),
    [
        (print, None, {}, "<built-in function print> is no job; give a Job class"),
        (poolq.Job, None, {}, "has no run"),
        (Report, [1], {}, "payload"),
        (Report, {"a": object()}, {}, "job report"),
        (Report, {"a": "x" * 2**21}, {}, "job report: payload is 2097160 bytes"),
        (ping, None, {}, "missing a required argument: 'host'; give its arguments by name, as a"),
        (ping, {"host": 1, "port": 2}, {}, "unexpected keyword argument 'port'"),
        (Report.set(delay="1h"), None, {}, "job report has a delay, but its schedule says when"),
        (Report.set(delay="tomorrow"), None, {}, "schedule it with set(delay=None)"),
        (Report.set(unique=poolq.Unique("a")), {"b": 1}, {}, "payload has no 'a', by which the"),
        (Report, None, {"name": "a b"}, "the schedule's name is 'a b'; it must have no spaces"),
        (Report, None, {"name": ""}, "the schedule's name is empty"),
        ("", None, {}, "the job's name is empty"),
    ],
)
def test_what_cannot_be_stored_is_refused_when_it_is_collected(
    job: object, payload: object, options: dict[str, str], why: str
) -> None:
    poolq.every("1m", job, payload, **options)  # type: ignore[arg-type]
    text = refusal((OptionError, PayloadError), periodic.collect)
    assert text.startswith(f"every() in {__name__}:")
    assert why in text


def test_two_schedules_of_one_name_are_refused() -> None:
    poolq.every("1m", Report)
    poolq.every("2m", Report)
    with pytest.raises(ScheduleError, match=r"two schedules .* 'report': every.*, and every"):
        periodic.collect()


def test_an_application_with_a_wrong_schedule_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_jobs", lambda: iter(()))  # other tests define some, too
    (tmp_path / "wrong_schedules.py").write_text("import poolq\npoolq.every('1m', print)\n")
    with pytest.raises(AppError, match=r"every\(\) in wrong_schedules:2: <built-in function print"):
        registry.load(["wrong_schedules"], tmp_path)


def test_a_job_knows_its_tick() -> None:
    poolq.every("1m", Report)
    spec = schedule_plan.decode(periodic.collect()["report"])
    message = decode(schedule_plan.body_of(spec, "a" * 32, 1_795_780_800_000_000))
    job = build(Report, message, 1, "q")
    assert job.scheduled_at is not None
    assert job.scheduled_at.isoformat() == "2026-11-27T12:00:00+00:00"


def test_a_job_given_by_its_name_has_the_options_of_its_class() -> None:
    poolq.every("1m", "report")
    poolq.every("1m", "elsewhere:Job")
    found = {name: schedule_plan.decode(spec) for name, spec in periodic.collect().items()}
    heads = [schedule_plan.head_of(found[name]).queue for name in ("report", "elsewhere:Job")]
    assert heads == ["reports", "default"]
