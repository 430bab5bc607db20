"""A payload is what JSON can hold without changing it; anything else is refused by its path."""

import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import IntEnum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.errors import PayloadError
from poolq.jobs.payload import MAX_DEPTH, check
from tests.unit.refusals import refusal

MIB = 1 << 20


class Color(IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Model:
    """As a model of pydantic."""

    def model_dump(self) -> dict[str, object]:
        return {}


@dataclass
class Point:
    x: int


MODEL, POINT = (
    f"payload['a'] is a {name}, which JSON cannot hold unchanged" for name in ("Model", "Point")
)


def test_none_stands_for_an_empty_payload() -> None:
    assert check(None, "jobs:A", MIB) == b"{}"


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ([], "payload is a list; it must be a dict"),
        ("x", "payload is a str; it must be a dict"),
        (1, "payload is an int; it must be a dict"),
        (OrderedDict(), "payload is an OrderedDict; it must be a dict"),
        ({1: 2}, "payload has the key 1 (an int); keys must be str"),
        ({(1, 2): 2}, "payload has the key (1, 2) (a tuple); keys must be str"),
        ({None: 2}, "payload has the key None (a NoneType); keys must be str"),
        ({Text("a"): 1}, "payload has the key 'a' (a Text); keys must be str"),
        ({"a": {"b": {1: 2}}}, "payload['a']['b'] has the key 1 (an int); keys must be str"),
        ({"a": [0, 1, float("nan")]}, "payload['a'][2] is nan, which JSON cannot hold; use None"),
        ({"a": float("-inf")}, "payload['a'] is -inf, which JSON cannot hold; use None"),
        ({"a": (1, 2)}, "payload['a'] is a tuple, which JSON cannot hold unchanged; use a list"),
        ({"a": {1}}, "payload['a'] is a set, which JSON cannot hold unchanged; use a list"),
        ({"a": b"x"}, "payload['a'] is a bytes, which JSON cannot hold unchanged; use text"),
        ({"a": datetime.now(UTC)}, "payload['a'] is a datetime, which JSON cannot hold unchanged"),
        ({"a": date(2026, 1, 1)}, "payload['a'] is a date,"),
        ({"a": Decimal(1)}, "payload['a'] is a Decimal,"),
        ({"a": uuid.uuid4()}, "payload['a'] is a UUID,"),
        ({"a": Color.RED}, "payload['a'] is a Color, which JSON cannot hold unchanged; use str"),
        ({"a": Text("x")}, "payload['a'] is a Text,"),
        ({"a": Model()}, f"{MODEL}; convert it with its model_dump(mode=\"json\")"),
        ({"a": Point(1)}, f"{POINT}; convert it with dataclasses.asdict()"),
        ({"a": [[object()]]}, "payload['a'][0][0] is an object,"),
        ({"a": "\ud800"}, "payload cannot be written as JSON:"),
        ({"\ud800": 1}, "payload cannot be written as JSON:"),
        ({"a": 10**5000}, "payload cannot be written as JSON:"),
    ],
)  # fmt: skip
def test_refuses_by_path(payload: object, text: str) -> None:
    refused = refusal(PayloadError, lambda: check(payload, "jobs:A", MIB))
    assert refused.startswith(f"job jobs:A: {text}")


def test_refuses_what_contains_itself() -> None:
    payload: dict[str, object] = {}
    payload["self"] = payload
    with pytest.raises(PayloadError, match=f"more than {MAX_DEPTH} levels deep"):
        check(payload, "jobs:A", MIB)


def test_depth_is_bounded() -> None:
    deep: list[object] = []
    for _ in range(MAX_DEPTH - 2):
        deep = [deep]
    assert check({"a": deep}, "jobs:A", MIB)
    with pytest.raises(PayloadError, match="levels deep"):
        check({"a": [deep]}, "jobs:A", MIB)


def test_size_is_bounded_to_the_byte() -> None:
    payload = {"text": "é" * 100}
    size = len(check(payload, "jobs:A", MIB))
    assert check(payload, "jobs:A", size)
    with pytest.raises(PayloadError, match=rf"payload is {size} bytes .* limit of {size - 1};"):
        check(payload, "jobs:A", size - 1)


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_every_json_object_comes_back_as_it_was(payload: dict[str, object]) -> None:
    back = msgspec.json.decode(check(payload, "jobs:A", MIB))
    assert back == payload
    assert repr(back) == repr(payload)  # 1, 1.0 and True are equal, and not the same


@given(
    st.recursive(JSON | st.binary() | st.dates(), lambda inner: st.tuples(inner) | st.lists(inner))
)
def test_anything_is_taken_or_refused(value: object) -> None:
    try:
        encoded = check({"a": value}, "jobs:A", MIB)
    except PayloadError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # some values are taken
    else:
        assert msgspec.json.decode(encoded) == {"a": value}
