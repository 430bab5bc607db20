"""The stored form of a job: what it looks like, and that garbage is only ever a BadMessage."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.errors import BadMessage
from poolq.jobs.message import (
    MAX_HISTORY,
    MESSAGE_VERSION,
    Entry,
    Message,
    decode,
    encode,
    entries,
    name_and_queue,
    with_entry,
    with_fields,
)
from tests.unit.refusals import refusal

FULL = Message(
    v=1,
    id="0192",
    job="jobs:SendMail",
    queue="emails",
    payload={"to": "bob"},
    attempts=3,
    retry_after=(1_000_000, 10_000_000),
    max_crashes=2,
    on_limit="park",
    timeout=30_000_000,
)


def test_the_stored_form() -> None:
    assert json.loads(encode(FULL)) == {
        "v": 1,
        "id": "0192",
        "job": "jobs:SendMail",
        "queue": "emails",
        "payload": {"to": "bob"},
        "attempts": 3,
        "retry_after": [1_000_000, 10_000_000],
        "max_crashes": 2,
        "on_limit": "park",
        "timeout": 30_000_000,
    }
    assert decode(encode(FULL)) == FULL


def test_what_is_at_its_default_is_left_out() -> None:
    body = encode(Message(1, "0192", "jobs:A", "default"))
    assert body == b'{"v":1,"id":"0192","job":"jobs:A","queue":"default"}'
    assert decode(body) == Message(1, "0192", "jobs:A", "default", {}, 1, (), 3, "release", 0)


def test_a_payload_may_be_json_already() -> None:
    body = encode(Message(1, "0192", "jobs:A", "default", msgspec.Raw(b'{"a":[1.0,{}]}')))
    assert decode(body).payload == {"a": [1.0, {}]}


GOOD = {"v": 1, "id": "1", "job": "a", "queue": "q"}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"v": 2}, "message has version 2; this poolq reads version 1"),
        ({"v": 2, "queue": None}, "message has version 2; this poolq reads version 1"),
        ({"v": 0}, "message has version 0; this poolq reads version 1"),
        ({"v": "1"}, "message cannot be read: "),
        ({"job": ""}, "message cannot be read: "),
        ({"job": 3}, "message cannot be read: "),
        ({"job": "ü" * 128}, "the job's name has more than 255 bytes: "),
        ({"id": "x" * 256}, "message cannot be read: "),
        ({"queue": None}, "message cannot be read: "),
        ({"attempts": 0}, "message cannot be read: "),
        ({"attempts": 10**20}, "message cannot be read: "),
        ({"attempts": 1.5}, "message cannot be read: "),
        ({"retry_after": [-1]}, "message cannot be read: "),
        ({"retry_after": ["P1M\n"]}, "message cannot be read: "),
        ({"retry_after": 3}, "message cannot be read: "),
        ({"max_crashes": 0}, "message cannot be read: "),
        ({"on_limit": "wait"}, "message cannot be read: "),
        ({"timeout": -1}, "message cannot be read: "),
        ({"payload": []}, "the message's payload is not a JSON object: "),
        ({"payload": None}, "the message's payload is not a JSON object: "),
    ],
)
def test_a_message_that_makes_no_sense(change: dict[str, Any], wrong: str) -> None:
    text = refusal(BadMessage, lambda: decode(json.dumps({**GOOD, **change}).encode()))
    assert text.startswith(wrong)


@pytest.mark.parametrize("field", GOOD)
def test_a_message_without_what_it_needs(field: str) -> None:
    body = json.dumps({name: value for name, value in GOOD.items() if name != field}).encode()
    with pytest.raises(BadMessage, match=f"missing required field `{field}`"):
        decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"v":1,"id":"1","job":"a","queue":"q","payload":' + b'{"a":' * 100_000,
        b'{"v":1,"id":"1","job":"a","queue":"q","payload":{"a":1e999}}',
        b'{"v":1,"id":"1","job":"a","queue":"q","payload":{"a":' + b"9" * 5000 + b"}}",
        b'{"v":1,"id":"\xff","job":"a","queue":"q"}',
        b'{"v":1,"id":"\\ud800","job":"a","queue":"q"}',
        b"O:8:SendMail",
        b"\x80\x04\x95\x1a",
    ],
)
def test_garbage(body: bytes) -> None:
    assert len(refusal(BadMessage, lambda: decode(body))) < 700
    assert all(isinstance(part, str) for part in name_and_queue(body))


def test_listings_show_what_can_be_read() -> None:
    assert name_and_queue(encode(FULL)) == ("jobs:SendMail", "emails")
    assert name_and_queue(b'{"v":9,"job":"a"}') == ("a", "?")
    assert name_and_queue(b'{"job":3}') == ("?", "?")
    assert name_and_queue(b"garbage") == ("?", "?")


@given(st.binary())
def test_any_bytes_are_read_or_bad(body: bytes) -> None:
    is_read_or_bad(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(Message.__struct_fields__), JSON))
def test_any_fields_are_read_or_bad(fields: dict[str, Any]) -> None:
    is_read_or_bad(json.dumps({**GOOD, **fields}).encode())


@given(st.integers(0, len(encode(FULL))), st.binary(max_size=3), st.integers(0, 3))
def test_a_damaged_message_is_read_or_bad(at: int, put: bytes, cut: int) -> None:
    body = encode(FULL)
    is_read_or_bad(body[:at] + put + body[at + cut :])


def is_read_or_bad(body: bytes) -> None:
    try:
        message = decode(body)
    except BadMessage as error:
        message = FULL
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # some bodies are read
    assert message.v == MESSAGE_VERSION
    assert message.job
    assert type(message.payload) is dict
    assert message.attempts >= 1
    assert all(isinstance(part, str) for part in name_and_queue(body))


# History


def line(at: int, cause: str = "error") -> Entry:
    return Entry(at, cause, "ValueError: a\nb", 1, "Traceback\n  …", "w1", 9, 1)


def test_a_history_keeps_its_first_and_its_last_lines() -> None:
    history = b""
    for at in range(MAX_HISTORY + 10):
        history = with_entry(history, line(at))
    kept = [found.at for found in entries(history)]
    assert kept == [0, *range(11, MAX_HISTORY + 10)]
    assert len(kept) == MAX_HISTORY


@given(st.binary())
def test_a_damaged_history_is_shown_as_it_is(history: bytes) -> None:
    assert all(isinstance(found, Entry) for found in entries(history))
    assert entries(with_entry(history, line(7)))[-1] == line(7)


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_any_text_fits_a_line(error: str, traceback: str) -> None:
    kept = Entry(1, "error", error, 1, traceback)
    assert entries(with_entry(b"", kept)) == [kept]


def test_a_text_that_is_no_utf_8_fits_too() -> None:
    kept = Entry(1, "error", "no file a\udcffb", 1, "é \udcff")
    assert entries(with_entry(b"", kept)) == [
        Entry(1, "error", "no file a\\udcffb", 1, "é \\udcff")
    ]


def test_replaced_fields_leave_all_others_as_they_are() -> None:
    body = (
        b'{"v":1,"id":"i","job":"j","queue":"q","payload":{"n":123456789012345678901234567890},'
        b'"new":[1.50]}'
    )
    assert with_fields(body, {"attempts": 5}) == body[:-1] + b',"attempts":5}'
    assert decode(with_fields(with_fields(body, {"attempts": 5}), {"attempts": 1})).attempts == 1


@pytest.mark.parametrize("body", [b"", b"{", b'{"v":2,"id":"i"}', b'{"v":1}', b"[]"])
def test_fields_of_what_is_no_message_are_not_replaced(body: bytes) -> None:
    with pytest.raises(BadMessage):
        with_fields(body, {"attempts": 5})
