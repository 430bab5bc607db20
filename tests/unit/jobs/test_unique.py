"""Unique jobs: what may be declared, when two payloads have one key, and what dispatching says."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import poolq
from poolq import EngineUnavailable, JobId, OptionError, PayloadError, Unique
from poolq.common.lengths import MAX_UNIQUE_KEY_BYTES
from poolq.engines.base import Engine, Push
from poolq.jobs.ids import HolderId
from poolq.jobs.unique import StoredKey, UniqueKey, key_of, stored_key
from tests.contract.helpers import Worker
from tests.support.producing import MODULE, Kept, gone, produce_to
from tests.unit.refusals import refusal

SECOND = 1_000_000


class Sync(poolq.Job):
    name = "jobs:Sync"
    unique = Unique("user")

    def run(self) -> None:
        pass


@poolq.job(name="jobs:index", unique=Unique("page", until="start", conflict="replace"))
def index(page: int, text: str = "") -> None:
    pass


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Unique(7), "7 is no payload field"),
        (lambda: Unique(""), "'' is no payload field"),
        (lambda: Unique("a", "b", "a"), "a field is named twice: 'a, b, a'"),
        (lambda: Unique(until="ends"), "until of Unique is 'ends'"),
        (lambda: Unique(until=0), "until of Unique is 0; write 'end', 'start', or a duration"),
        (lambda: Unique(until="-1s"), "until of Unique is '-1s'; write 'end', 'start', or a dur"),
        (lambda: Unique("x" * 9999, "x" * 9999), f"a field is named twice: '{'x' * 59}…"),
        (lambda: Unique(conflict="raise"), "conflict of Unique is 'raise'"),
        (lambda: Unique(conflict="replace"), "needs until='start', not 'end'"),
        (lambda: Unique(conflict="replace", until="10m"), "needs until='start', not '10m'"),
        (lambda: type("A", (poolq.Job,), {"unique": "user"}), "unique is 'user'; write poolq.Uniq"),
        (lambda: Sync.set(unique=True), "job jobs:Sync: unique is True"),
    ],
)
def test_nonsense_is_refused_in_one_line(make: Any, said: str) -> None:
    assert said in refusal(OptionError, make)


def test_a_duration_may_be_written_in_any_way() -> None:
    for until in (600, "10m", timedelta(minutes=10)):
        made = Unique(until=until)
        assert (made.until, made.lasts) == ("time", 600 * SECOND)
    assert (Unique(until="start").until, Unique().until, Unique().lasts) == ("start", "end", 0)


def key(unique: Unique, payload: object, job: str = "jobs:A") -> str:
    return unique.asked(job, payload).key


def test_equal_values_have_equal_keys() -> None:
    one = Unique("user", "shop")
    assert (
        key(one, {"user": 7, "shop": {"b": 1, "a": 2}}) == 'jobs:A {"shop":{"a":2,"b":1},"user":7}'
    )
    assert key(one, {"shop": {"a": 2, "b": 1}, "user": 7, "other": 1}) == key(
        Unique("shop", "user"), {"user": 7, "shop": {"b": 1, "a": 2}}
    )
    different = ({"user": 7}, {"user": "7"}, {"user": None}, {"user": [7]}, {"user": True})
    assert len({key(Unique("user"), payload) for payload in different}) == len(different)
    assert key(Unique(), None) == key(Unique(), {}) == "jobs:A {}"
    assert key(Unique(), {"a": 1}) != key(Unique("a"), {"a": 1}, "jobs:B")


def test_a_long_key_is_shortened_but_not_confused() -> None:
    for job in ("jobs:A", "j" * 255, "ü" * 127):
        keys = {key(Unique(), {"text": letter * 300}, job) for letter in "abü"}
        assert len(keys) == 3
        assert all(len(one.encode()) <= MAX_UNIQUE_KEY_BYTES for one in keys)
    fits = key(Unique(), {"text": "a" * 200})
    assert fits == 'jobs:A {"text":"%s"}' % ("a" * 200)


def test_a_field_that_the_payload_lacks_is_refused() -> None:
    said = "job jobs:A: payload has no 'user', by which the job is unique; did you mean users?"
    assert refusal(PayloadError, lambda: key(Unique("user"), {"users": 1})) == said
    with pytest.raises(PayloadError, match="; add it, or change the fields by which the job is un"):
        key(Unique("user"), {})
    with pytest.raises(PayloadError, match=r"payloads\[1\] has no 'user'"):
        poolq.dispatch_many(Sync, [{"user": 1}, {}])


def test_a_dispatch_says_whether_it_has_stored_the_job(engine: Engine) -> None:
    first, again, other = (Sync.dispatch({"user": user}) for user in (7, 7, 8))
    assert (first.new, again.new, other.new) == (True, False, True)
    assert again == first != other
    assert all(isinstance(one, JobId) for one in (first, again))
    named = poolq.dispatch("jobs:Sync", {"user": 7}, unique=Unique("user", until="start"))
    assert (named, named.new) == (first, False)
    twin = Sync.set(unique=None).dispatch({"user": 7})
    assert twin.new
    assert twin != first
    found = poolq.find(again)
    assert found is not None
    assert (found.id, found.unique) == (first, 'jobs:Sync {"user":7}')
    assert [one.unique for one in poolq.list()].count(None) == 1
    assert poolq.cancel(again)
    assert Sync.dispatch({"user": 7}).new
    assert len(engine.page("ready").jobs) == 3


def test_a_list_may_have_jobs_with_other_rules(engine: Engine) -> None:
    """The first without a key, some with a delay of their own, and one with another key."""
    own = {"unique": Unique("shop", until="start")}
    payload = {"user": 1, "shop": 2}
    jobs = [(payload, {"unique": None}), payload, (payload, {"delay": 9}), (payload, own), payload]
    ids = poolq.dispatch_many(Sync, jobs)
    assert [one.new for one in ids] == [True, True, False, True, False]
    assert ids[2] == ids[4] == ids[1]
    keys = [None, 'jobs:Sync {"user":1}', 'jobs:Sync {"shop":2}']
    found = [poolq.find(ids[index]) for index in (0, 1, 3)]
    assert [one and one.unique for one in found] == keys
    plain = poolq.dispatch_many("jobs:B", [payload, (payload, own), (payload, {"delay": 9})])
    assert [one.new for one in plain] == [True, True, True], "the job's name is part of its key"
    late = poolq.dispatch_many(Sync, [({"user": 5}, {"delay": 9}), {"user": 6}])
    assert [engine.page(status).jobs[-1].id for status in ("delayed", "ready")] == late


def test_a_function_job_replaces_the_one_that_waits(engine: Engine) -> None:
    assert all(index.dispatch(page=1, text=text).new for text in ("a", "b", "c"))
    assert index.dispatch(page=2).new
    with pytest.raises(PayloadError, match="has no 'page'"):
        poolq.dispatch("jobs:index", {"pages": 1}, unique=Unique("page"))
    claims = Worker(engine, queues=None).claim(9)
    assert [b'"c"' in claim.body for claim in claims] == [True, False]
    assert index.dispatch(page=1).new, "what runs has no key"


def test_an_id_is_text_wherever_text_is_expected(engine: Engine) -> None:
    first = Sync.dispatch({"user": 1})
    again = Sync.dispatch({"user": 1})
    for one in (first, again):
        assert pickle.loads(pickle.dumps(one)).new == one.new
        sent = poolq.dispatch("jobs:Other", {"parent": one, "all": [{"id": one}]})
        stored = engine.find(sent)
        assert stored is not None
        assert stored.body.count(f'"{first}"'.encode()) == 2


def test_a_stored_key_that_cannot_be_read_is_none() -> None:
    assert stored_key(UniqueKey("k ü", "end").stored) == StoredKey("k ü", "end")
    long = b"end " + b"k" * (MAX_UNIQUE_KEY_BYTES + 1)
    for stored in (None, b"", b"end", b"end ", b"end a\n", b"never k", b"end \xff", long, 7):
        assert stored_key(stored) is None


class Slow(Kept):
    """Keeps what is pushed; every second job gives way."""

    def push(self, pushes: Sequence[Push]) -> list[str]:
        super().push(pushes)
        return [one.id if at % 2 == 0 else "holder" for at, one in enumerate(pushes)]


def test_what_is_surely_not_stored_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Slow(gone(), gone())
    monkeypatch.setattr(MODULE, "_chosen", produce_to(kept))
    ids = poolq.dispatch_many(Sync, [{"user": 1}, {"user": 2}])
    assert [type(one) for one in ids] == [JobId, HolderId]
    assert (ids[0], ids[1]) == (kept.pushes[0].id, "holder")
    assert kept.tried == [[one.id for one in kept.pushes]] * 3


@pytest.mark.parametrize("error", [gone("x"), gone(maybe_stored=True)], ids=["some", "perhaps"])
def test_what_may_be_stored_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: EngineUnavailable
) -> None:
    kept = Slow(error)
    monkeypatch.setattr(MODULE, "_chosen", produce_to(kept))
    with pytest.raises(EngineUnavailable) as caught:
        poolq.dispatch_many(Sync, [{"user": 1}, {"user": 2}])
    assert caught.value.maybe_stored == error.maybe_stored
    assert caught.value.ids == (error.ids or tuple(kept.tried[0]))
    assert len(kept.tried) == 1


NAMES = st.text(min_size=1, max_size=5) | st.sampled_from(["\n", "a\tb", "\x1f", "\0"])


@given(st.dictionaries(NAMES, NAMES | st.integers() | st.lists(NAMES, max_size=2), min_size=1))
def test_a_key_has_no_control_characters(payload: dict[str, Any]) -> None:
    """On Redis, a newline would end the line in which a key is stored with its job."""
    every = (Unique(), Unique(next(iter(payload))), Unique(*payload))
    keys = [one.asked("jobs:A", payload).key for one in every]
    for key in (*keys, key_of("jobs:A", payload)):
        assert not any(character < " " for character in key), key
