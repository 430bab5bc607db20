"""`Concurrent` as a value, and the mistakes that it names in one line."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import poolq
from poolq import (
    Concurrent,
    Job,
    Limit,
    LimitError,
    OptionError,
    PayloadError,
    Unique,
)
from poolq.common.lengths import MAX_KEY_BYTES
from poolq.engines.base import Engine
from poolq.jobs.ids import JobId
from poolq.jobs.job import build, hooks, limits_of, options_of
from poolq.jobs.limits import MAX_LIMIT, Gate, Rule, parse
from poolq.jobs.message import Message, decode
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS, DispatchOptions
from poolq.jobs.producer import send
from tests.unit.refusals import refusal


def test_the_same_key_may_have_a_window_too() -> None:
    assert len(parse([Concurrent(1, key="k"), Limit(1, seconds=1, key="k")], "j")) == 2
    with pytest.raises(LimitError, match="rate_limit of j: two Concurrents with the key 'k' would"):
        parse([Concurrent(1, key="k"), Concurrent(2, key="k")], "j")


def test_a_number_that_makes_no_sense_is_named_with_its_key() -> None:
    """The job that fails because of it shows nothing but the text."""
    for given, shown in (({}, ""), ({"key": "k"}, ", key='k'"), ({"by": "a"}, ", by='a'")):
        refused = refusal(LimitError, lambda one=given: Concurrent(0, **one))  # type: ignore[misc]
        what = f"Concurrent(…{shown}): limit is 0"
        assert refused == f"{what}; it must be a whole number from 1 to {MAX_LIMIT}"


@pytest.mark.parametrize("key", ["", "a\n", "x" * 256, 7])
def test_a_key_that_no_engine_can_store_is_named(key: object) -> None:
    with pytest.raises(LimitError, match="key is"):
        Concurrent(1, key=key)  # type: ignore[arg-type]


def test_it_is_shown_as_it_is_written() -> None:
    assert repr(Concurrent(2, key="tenant:7")) == "Concurrent(2, key='tenant:7')"
    assert repr(Concurrent(1)) == "Concurrent(1)"
    with pytest.raises(OptionError, match=r"rate_limit is Concurrent\(1\); it must be a method"):

        class Alone(Job):
            rate_limit = Concurrent(1)  # type: ignore[assignment]  # this is the mistake


# as an option


class Sync(Job):
    name = "jobs:Pull"
    concurrent = Concurrent(2, by="tenant")

    def run(self) -> None:
        pass


class Both(Sync):
    name = "jobs:Both"

    def rate_limit(self) -> Limit:
        return Limit(5, seconds=1)


@poolq.job(name="jobs:sync", concurrent=Concurrent(1))
def sync(tenant: int) -> None:
    pass


def statuses(*ids: str) -> list[str]:
    return [found.state for id_ in ids if (found := poolq.find(id_))]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Concurrent(1, by="a", key="b"), "give key, a text, or by, payload fields, not bo"),
        (lambda: Concurrent(1, by=("a", "a")), "Concurrent: a field is named twice: 'a, a'"),
        (lambda: Concurrent(1, by=("a", 7)), "Concurrent: 7 is no payload field"),
        (lambda: Concurrent(1, by=7), "by of Concurrent is 7; write the name of a payload field"),
        (lambda: type("A", (Job,), {"concurrent": 2}), "concurrent is 2; write poolq.Concurrent(2"),
        (lambda: parse(Sync.concurrent, "j"), "by='tenant') is for the option `concurrent`;"),
    ],
)
def test_nonsense_about_the_option_is_named(make: Any, said: str) -> None:
    assert said in refusal((LimitError, OptionError), make)


def test_a_field_that_the_payload_lacks_is_refused(engine: Engine) -> None:
    said = "payload has no 'tenant', by which the job is limited; did you mean tenants?"
    assert refusal(PayloadError, lambda: Sync.dispatch({"tenants": 1})) == f"job jobs:Pull: {said}"
    with pytest.raises(PayloadError, match=r"payloads\[1\] has no 'tenant'"):
        poolq.dispatch_many(Sync, [{"tenant": 1}, {}])
    assert engine.counts() == []


@pytest.mark.parametrize("value", ["x" * 300, "a\u200bb", {"b": [1, None], "a": "ü"}, "a\nb"])
def test_any_value_makes_a_key_that_can_be_stored_and_shown(value: object) -> None:
    key, limit = Concurrent(3, by="tenant").gate("jobs:Pull", {"tenant": value})
    assert limit == 3
    assert key.startswith("jobs:Pull ")
    assert key.isprintable()
    assert len(key.encode()) <= MAX_KEY_BYTES


def test_two_that_differ_in_their_fields_are_not_equal() -> None:
    one, other = Concurrent(2, by="a"), Concurrent(2, by=("a", "b"))
    assert one != other
    assert one == Concurrent(2, by=["a"])
    assert copy.deepcopy(other) == other
    assert len({one, other, copy.copy(one)}) == 2
    assert (repr(one), repr(other)) == ("Concurrent(2, by='a')", "Concurrent(2, by=('a', 'b'))")


def test_a_dispatch_parks_the_job(engine: Engine) -> None:
    one = Sync.dispatch({"tenant": 7})
    many = poolq.dispatch_many(Sync, [{"tenant": 7}, ({"tenant": 8}, {"delay": 60})])
    named = sync.dispatch(7)
    assert statuses(one, *many, named) == ["parked", "parked", "delayed", "parked"]
    waiting = {use.rule.key: use.parked for use in engine.limits()}
    assert waiting == {'jobs:Pull {"tenant":7}': 2, "jobs:sync": 1}
    (first, *_) = engine.page("parked").jobs
    assert decode(first.body).gate == ('jobs:Pull {"tenant":7}', 2)


def by_name(options: DispatchOptions) -> JobId:
    """Dispatch a Sync by its name, as a process does that has not imported its class."""
    return send(MessageTemplate("jobs:Pull", DEFAULTS.changed(options, "x")), {"tenant": 7})


def test_a_worker_asks_for_the_slots_of_all_others(engine: Engine) -> None:
    """What only a worker knows, or what has its own way of being stored, is stored like others."""
    ids = [
        Both.dispatch({"tenant": 7}),
        by_name({}),
        by_name({"concurrent": Concurrent(1, by="tenant")}),
        Sync.set(concurrent=Concurrent(1, key="k")).dispatch({"tenant": 7}),
        Sync.dispatch({"tenant": 7}, unique=Unique("tenant")),
    ]
    assert statuses(*ids) == ["ready"] * 5
    asked = []
    for id_ in ids:
        stored = engine.find(id_)
        assert stored is not None
        message = decode(stored.body)
        kind = Both if message.job == "jobs:Both" else Sync
        job = build(kind, message, 1, "q")
        asked.append([one.rule(message.job) for one in limits_of(job, message.job, message.gate)])
    gate = Gate('jobs:Pull {"tenant":7}', 2)
    assert asked == [
        [Rule("jobs:Both", 5, 1_000_000), Gate('jobs:Both {"tenant":7}', 2)],
        [gate],
        [gate],
        [Gate("k", 2)],
        [gate],
    ]
    assert hooks(Sync).rate_limit


def test_a_job_without_the_option_is_limited_as_it_was_dispatched() -> None:
    class Plain(Job):
        def run(self) -> None:
            pass

    job = build(Plain, Message(1, "1", "jobs:Plain", "q"), 1, "q")
    assert limits_of(job, "jobs:Plain", None) == ()
    (limit,) = limits_of(job, "jobs:Plain", Gate("k", 3))
    assert limit.rule("jobs:Plain") == Gate("k", 3)


def test_a_class_may_have_the_option_and_its_base_none() -> None:
    class Base(Job):
        attempts = 7

    class Limited(Base):
        concurrent = Concurrent(2, key="few")

    class Free(Limited):
        concurrent = None

    assert [one.concurrent for one in map(options_of, (Base, Limited, Free))] == [
        None, Concurrent(2, key="few"), None,
    ]  # fmt: skip
    assert Concurrent(2) not in (None, 2, Limit(2, seconds=1), Concurrent(2, by="tenant"))
