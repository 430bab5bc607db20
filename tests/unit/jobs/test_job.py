"""Job classes: how they are named, checked and built."""

import dataclasses
from typing import Any, cast

import pytest
from msgspec import structs

import poolq
from poolq import Concurrent, Job, Limit, OptionError, Unique
from poolq.errors import JobFailed
from poolq.jobs.class_checks import misspelled
from poolq.jobs.job import build, is_job, job_name, options_of
from poolq.jobs.limits import parse
from poolq.jobs.message import Message
from poolq.jobs.options import OPTIONS
from poolq.jobs.running import FailNow, ReleaseNow
from tests.unit.refusals import refusal

SECOND = 1_000_000


class SendMail(Job):
    queue = "emails"
    delay = "+30 seconds"
    attempts = 3
    retry_after = ["1s", "10s", "1m"]  # noqa: RUF012  # as users write it

    def run(self) -> Any:
        return self.payload


class Child(SendMail):
    attempts = 5


class Named(Job):
    name = "mail.send"

    def run(self) -> Any:
        return None


class OfNamed(Named):
    pass


def make(**members: Any) -> type[Job]:
    """A job class with these members; its run() returns its instance."""
    return type("Made", (Job,), {"__module__": "jobs", "run": lambda self: self, **members})


def test_the_name_is_module_and_class_and_one_of_its_own_is_not_inherited() -> None:
    assert job_name(SendMail) == f"{__name__}:SendMail"
    assert job_name(Child) == f"{__name__}:Child"
    assert job_name(Named) == "mail.send"
    assert job_name(OfNamed) == f"{__name__}:OfNamed"


def test_a_class_of_the_run_script_needs_a_name() -> None:
    cls = make(__module__="__main__", __qualname__="SendMail")
    assert refusal(OptionError, cls.dispatch) == (
        "job __main__:SendMail is defined in the script being run, where no worker can find it; "
        "move it to a module, or give it a name"
    )
    assert job_name(make(__module__="__main__", name="mail")) == "mail"


def test_a_class_without_run_is_no_job() -> None:
    base = type("Base", (Job,), {"__module__": "jobs", "queue": "emails"})
    assert not is_job(base)
    with pytest.raises(OptionError, match=r"job jobs:Base has no run\(\) and cannot be dispatched"):
        base.dispatch()


def test_options_are_inherited_and_read_from_the_class() -> None:
    read = options_of(SendMail)
    assert (read.queue, read.delay, read.attempts) == ("emails", 30 * SECOND, 3)
    assert read.retry_after == (SECOND, 10 * SECOND, 60 * SECOND)
    assert options_of(Child) == structs.replace(read, attempts=5)
    assert options_of(SendMail) is options_of(SendMail)


def test_options_are_read_when_the_job_is_dispatched() -> None:
    steps = ["1s"]
    cls = make(retry_after=steps)
    assert options_of(cls).retry_after == (SECOND,)
    cls.queue = "bulk"
    steps.append("2s")
    assert options_of(cls).queue == "bulk"
    assert options_of(cls).retry_after == (SECOND, 2 * SECOND)
    cls.attempts = 0
    with pytest.raises(OptionError, match="job jobs:Made: attempts is 0"):
        cls.dispatch()


def generator(_: Job) -> Any:
    yield


async def async_generator(_: Job) -> Any:
    yield


async def coroutine(_: Job) -> Any:
    return None


@pytest.mark.parametrize(
    ("members", "wrong"),
    [
        ({"attempts": 0}, "attempts is 0; it must be a whole number from 1 to"),
        ({"queue": property(lambda _: "x")}, "queue is <property"),
        ({"delay": lambda _: 1}, "delay is <function"),
        ({"name": ""}, "name is empty; give it a name"),
        ({"name": None}, "name is None; it must be text"),
        ({"name": "a b"}, "name is 'a b'; it must have no spaces"),
        ({"name": property(lambda _: "x")}, "name is <property"),
        ({"name": "n" * 256}, f"name is '{'n' * 40}'…; at most 255 bytes are allowed"),
        ({"run": 3}, "run is 3; it must be a method"),
        ({"rate_limit": {"limit": 1}}, "rate_limit is {'limit': 1}; it must be a method"),
        ({"run": generator}, "run() has a yield, so its body would never run; return instead"),
        ({"run": async_generator}, "run() has a yield"),
        ({"on_failure": generator}, "on_failure() has a yield"),
        ({"rate_limit": coroutine}, "rate_limit() is async; it must be a plain method"),
        ({"retry": lambda self: "fail"}, "retry() is called with the error that run() raised;"),
        ({"__init__": lambda self, to, copies=1: None},
         "__init__ needs to; a job is created without arguments; its data comes in the payload"),
    ],
)  # fmt: skip
def test_a_class_that_makes_no_sense_is_refused_when_it_is_made(
    members: dict[str, Any], wrong: str
) -> None:
    assert refusal(OptionError, lambda: make(**members)).startswith(f"job jobs:Made: {wrong}")


def test_a_name_too_long_to_be_stored_is_refused() -> None:
    with pytest.raises(OptionError, match="…; at most 255 bytes are allowed"):
        make(__qualname__="A" * 300)
    assert job_name(make(__qualname__="A" * 300, name="a")) == "a"


def test_a_constructor_without_needs_is_fine() -> None:
    made = make(__init__=lambda self, to=1, *args, **kwargs: setattr(self, "to", to))
    job = build(made, Message(1, "1", "jobs:A", "default", {"a": 1}), 2, "q")
    assert (job.id, job.payload, job.attempt, job.queue, job.error) == ("1", {"a": 1}, 2, "q", None)
    assert cast("Any", job).to == 1


def test_each_built_instance_is_fresh() -> None:
    first = build(SendMail, Message(1, "1", "jobs:A", "emails"), 1, "emails")
    cast("Any", first).left = "over"
    second = build(SendMail, Message(1, "2", "jobs:A", "emails"), 3, "bulk", JobFailed("x"))
    assert not hasattr(second, "left")
    assert (second.id, second.attempt, second.queue) == ("2", 3, "bulk")
    assert isinstance(second.error, JobFailed)


def test_a_job_may_call_its_own_things_what_it_likes() -> None:
    members = dict.fromkeys(("_read", "options", "broken", "job", "message", "state", "url"), "x")
    assert make(**members, attempts=2).dispatch_sync().attempt == 1


def test_a_retry_that_takes_an_error_is_fine() -> None:
    assert make(retry=lambda self, *errors: None)
    assert make(retry=staticmethod(lambda error: None))


def test_an_instance_made_by_hand_can_be_tested() -> None:
    job = SendMail()
    assert (job.payload, job.id, job.attempt, job.error) == ({}, "", 1, None)
    assert SendMail().payload is not job.payload
    job.payload = {"to": "bob"}
    assert job.run() == {"to": "bob"}


def test_fail_carries_its_reason() -> None:
    assert refusal(FailNow, lambda: SendMail().fail("bad address")) == "bad address"
    assert refusal(FailNow, SendMail().fail).startswith("failed by its own")


@pytest.mark.parametrize(
    ("delay", "micros"), [(None, 0), ("10s", 10 * SECOND), (0.5, 500_000), ("2020-01-01", 0)]
)
def test_release_carries_its_delay(delay: Any, micros: int) -> None:
    with pytest.raises(ReleaseNow) as caught:
        SendMail().release(delay)
    assert caught.value.args == (micros,)


def test_release_until_a_point_in_time() -> None:
    assert 0 < int(refusal(ReleaseNow, lambda: SendMail().release("tomorrow"))) <= 90_000 * SECOND


def test_release_with_a_delay_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(poolq.DurationError, match=r"SendMail: the delay of release\(\) is 'x';"):
        SendMail().release("x")


def test_settings_are_immutable_and_add_up() -> None:
    later = SendMail.set(delay="+1 hour")
    bulk = later.set(queue="bulk")
    assert (later.options.queue, later.options.delay) == ("emails", 3600 * SECOND)
    assert (bulk.options.queue, bulk.options.delay) == ("bulk", 3600 * SECOND)
    assert SendMail().set() == SendMail.set()
    with pytest.raises(dataclasses.FrozenInstanceError):
        later.options = bulk.options  # type: ignore[misc]  # the point of the test
    with pytest.raises(OptionError, match=r"SendMail: unknown option dealy; did you mean delay\?"):
        SendMail.set(dealy="1h")  # type: ignore[call-arg]  # the point of the test


def test_a_delay_set_later_or_by_a_mixin_counts() -> None:
    job = make(delay="5s")
    job.delay = "7s"
    assert options_of(job).delay == 7 * SECOND
    mixed = type("Mixed", (type("Mixin", (), {"delay": "9s"}), Job), {"run": lambda _: None})
    assert options_of(mixed).delay == 9 * SECOND  # type: ignore[arg-type]  # made by type()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("rateLimit", "rate_limit"),
        ("onSuccess", "on_success"),
        ("onFailure", "on_failure"),
        ("maxAttempts", "attempts"),
        ("retryAfter", "retry_after"),
        ("atempts", "attempts"),
        ("max_retries", "attempts"),
        ("concurency", "concurrent"),
        ("unique_by", "unique"),
        ("every", "poolq.every(…)"),
        ("overlap", "poolq.every(…, overlap=…)"),
    ],
)
def test_a_misspelled_attribute_is_recognised(given: str, meant: str) -> None:
    assert misspelled(make(**{given: 3}), OPTIONS) == [(given, meant)]


@pytest.mark.parametrize(
    ("given", "value", "said"),
    [
        ("uniq", Unique("user"), "uniq is Unique(fields=('user',)"),
        ("uniq", Unique("user"), "but no option has this name; call it unique"),
        ("concurency", Concurrent(2, by="a"), "concurency is Concurrent(2, by='a'), but no option"),
        ("per_user", Concurrent(2), "call it concurrent"),
        ("every", "1h", "below the class, write poolq.every('1h', "),
    ],
)
def test_an_option_by_another_name_is_rejected(given: str, value: object, said: str) -> None:
    assert said in refusal(OptionError, lambda: make(**{given: value}))


def test_a_rate_limit_may_return_a_concurrent_that_the_class_has() -> None:
    class Load(Job):
        two = Concurrent(2, key="load")

        def rate_limit(self) -> Limit:
            return self.two

    assert parse(Load().rate_limit(), "j") == (Load.two,)
    with pytest.raises(OptionError, match="call it concurrent"):
        make(rate_limit=Load.rate_limit, two=Concurrent(2, by="tenant"))


@pytest.mark.parametrize("given", ["retries_left", "limit", "attempted_at", "success", "max_size"])
def test_an_attribute_of_its_own_is_no_misspelling(given: str) -> None:
    assert misspelled(make(**{given: 3}), OPTIONS) == []
