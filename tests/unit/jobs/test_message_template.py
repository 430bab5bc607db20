"""A form and what is filled into it are the same message as one that is written in one piece."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.errors import PayloadError
from poolq.jobs.limits import Concurrent
from poolq.jobs.message import MESSAGE_VERSION, Message, decode
from poolq.jobs.message_template import MessageTemplate, with_options
from poolq.jobs.options import Options

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
NAMES = TEXTS | st.sampled_from(['"payload":', '","payload":{"id":"', "\\", "jobs:SendMail"])


@given(
    NAMES,
    NAMES,
    st.integers(1, 9),
    st.lists(st.integers(0, 1 << 40), max_size=3).map(tuple),
    st.sampled_from(["release", "park"]),
    st.dictionaries(NAMES, NAMES, max_size=3),
)
def test_a_filled_form_is_the_message(
    job: str, queue: str, attempts: int, steps: tuple[int, ...], on_limit: str, payload: object
) -> None:
    options = Options(queue, 7, attempts, steps, attempts, on_limit, 5)  # type: ignore[arg-type]
    push = MessageTemplate(job, options).push(payload, 1 << 20)
    assert decode(push.body) == Message(
        MESSAGE_VERSION, push.id, job, queue, payload, attempts, steps, attempts, on_limit, 5  # type: ignore[arg-type]
    )  # fmt: skip
    assert (push.queue, push.delay, push.at) == (queue, 7, 0)


@given(st.dictionaries(NAMES, NAMES, max_size=3), st.integers(1, 9), st.integers(1, 9))
def test_other_options_make_the_message_that_they_would_have_made(
    payload: object, attempts: int, others: int
) -> None:
    old = Options("old", 7, attempts, (1,), attempts, "park", 5)
    new = Options("new", 0, others, ("P1M", 60), others, "release", 0)
    push = MessageTemplate("jobs:A", old).push(payload, 1 << 20)
    assert decode(with_options(push.body, new)) == Message(
        MESSAGE_VERSION, push.id, "jobs:A", "old", payload, others, ("P1M", 60), others
    )


def test_other_options_make_the_gate_that_they_would_have_made() -> None:
    plain, per_user = Options(), Options(concurrent=Concurrent(2, by="user"))
    body = MessageTemplate("jobs:A", plain).push({"user": 7}, 1 << 20).body
    limited = with_options(body, per_user)
    assert decode(limited).gate == ('jobs:A {"user":7}', 2)
    assert decode(with_options(limited, plain)).gate is None
    assert b"gate" not in with_options(body, plain)
    with pytest.raises(PayloadError, match="payload has no 'shop', by which the job is limited"):
        with_options(body, Options(concurrent=Concurrent(2, by="shop")))


def test_the_garbage_collector_does_not_look_at_jobs_to_be_stored() -> None:
    """With 10,000 of them, it would take two fifths of a producer's time."""
    template = MessageTemplate("a", Options(concurrent=Concurrent(1)))
    assert not gc.is_tracked(template.push({}, 1000))
