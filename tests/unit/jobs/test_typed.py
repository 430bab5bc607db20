"""Typed payloads: annotations, JSON, and back."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

import poolq
from poolq.errors import OptionError, PayloadError
from poolq.jobs import message_template, typed
from poolq.jobs.message import decode
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS
from poolq.jobs.typed import Shape
from tests.support.ratio import ratio

NUMBER = UUID("12345678-1234-5678-1234-567812345678")


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Line:
    price: float
    count: int = 1


@dataclass
class Order:
    id: UUID
    lines: list[Line] = field(default_factory=list)


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Pair(NamedTuple):
    a: int
    b: str


class Row(TypedDict):
    name: str


class User(pydantic.BaseModel):
    name: str
    born: date | None = None
    lines: list[Line] = []


class Record:
    """What JSON cannot carry."""


ROUND_TRIPS: list[tuple[Any, Any, Any]] = [
    (int, 3, 3),
    (float, 3, 3),
    (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
    (Literal["a", "b"], "b", "b"),
    (Row, {"name": "x"}, {"name": "x"}),
    (UUID, NUMBER, str(NUMBER)),
    (datetime, datetime(2030, 1, 2, tzinfo=UTC), "2030-01-02T00:00:00Z"),
    (date | None, date(2030, 1, 2), "2030-01-02"),
    (Decimal, Decimal("1.50"), "1.50"),
    (Colour, Colour.RED, "red"),
    (Point, Point(1, 2), {"x": 1, "y": 2}),
    (Pair, Pair(1, "b"), [1, "b"]),
    (tuple[int, ...], (1, 2), [1, 2]),
    (dict[int, str], {1: "a"}, {"1": "a"}),
    (Order, Order(NUMBER, [Line(1.5)]), {"id": str(NUMBER), "lines": [{"price": 1.5, "count": 1}]}),
    (User, User(name="Ann"), {"name": "Ann", "born": None, "lines": []}),
    (list[User], [User(name="B")], [{"name": "B", "born": None, "lines": []}]),
]  # fmt: skip


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed, "shapes", typed.shapes.copy())
    monkeypatch.setattr(message_template, "shapes", typed.shapes)


def ship(annotation: Any) -> Shape:
    """The shape of a function job whose argument `order` has this annotation."""

    def function(order: Any) -> None: ...

    function.__annotations__ = {"order": annotation}
    return Shape("shop:ship", function, ("order",))


def dispatched(shape: Shape, payload: Any) -> dict[str, Any]:
    """The payload of the message that a dispatch of this job stores."""
    typed.shapes[shape.job] = shape
    return decode(MessageTemplate(shape.job, DEFAULTS).push(payload, 1 << 20).body).payload


@pytest.mark.parametrize(("annotation", "value", "json"), ROUND_TRIPS, ids=str)
def test_a_value_becomes_json_and_comes_back(annotation: Any, value: Any, json: Any) -> None:
    shape = ship(annotation)
    stored = dispatched(shape, {"order": value})
    assert stored == {"order": json}
    (arrived,) = shape.decode(stored).values()
    assert arrived == value
    assert type(arrived) is type(value)


def test_plain_annotations_are_those_that_json_has() -> None:
    plain = [int, str | None, list[str], dict[str, Any], Literal[1], list[dict[str, float]]]
    rich = [UUID, date | None, list[Line], Pair, Row, User]
    assert [bool(ship(one).resolve()) for one in plain] == [False] * len(plain)
    assert [bool(ship(one).resolve()) for one in rich] == [True] * len(rich)


@pytest.mark.parametrize(
    ("annotation", "value", "path", "why"),
    [
        (int, "3", "", "does not fit: Expected int, got str"),
        (Order, {"id": "x"}, "['id']", "does not fit: Invalid UUID"),
        (Order, Line(1.0), "", "does not fit: Object missing required field id"),
        (
            Order,
            {"id": str(NUMBER), "lines": [{"price": 1}, {"price": "2"}]},
            "['lines'][1]['price']",
            "does not fit: Expected float, got str",
        ),
        (dict[str, Line], {"a": {"price": "2"}}, "[...]['price']", "Expected float, got str"),
        (User, {"name": 1}, "['name']", "does not fit: Input should be a valid string"),
        (
            list[User],
            [{"name": "Ann", "lines": [{"price": "x"}]}],
            "[0]['lines'][0]['price']",
            "unable to parse string as a number",
        ),
        (UUID, Record(), "", "cannot be written as JSON: Record is no type"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(
    annotation: Any, value: Any, path: str, why: str
) -> None:
    with pytest.raises(PayloadError) as raised:
        dispatched(ship(annotation), {"order": value})
    text = str(raised.value)
    assert text.startswith(f"job shop:ship: payload['order']{path} ")
    assert why in text


@pytest.mark.parametrize("annotation", [Record, list[Record], dict[str, Record | None]])
def test_an_annotation_that_json_cannot_carry_says_to_dispatch_the_id(annotation: Any) -> None:
    why = "job shop:ship: argument order is annotated with Record, .* dispatch its id"
    with pytest.raises(OptionError, match=why):
        ship(annotation).resolve()


def test_a_job_with_such_an_annotation_is_not_defined() -> None:
    with pytest.raises(OptionError, match=r"Ship: payload is annotated with Record, .* its id"):

        class Ship(poolq.Job):
            payload: Record

            def run(self) -> None:
                """Nothing."""

    with pytest.raises(OptionError, match=r"ship: argument record is annotated with Record"):

        @poolq.job
        def ship(record: Record) -> None:
            """Nothing."""


def test_a_union_that_json_cannot_tell_apart_is_refused() -> None:
    with pytest.raises(OptionError, match="order has an annotation that JSON cannot carry"):
        ship(Line | Order).resolve()


def test_unknown_fields_are_ignored_and_missing_ones_have_their_defaults() -> None:
    found = ship(Line).decode({"order": {"price": 2.5, "added": "later"}})
    assert found == {"order": Line(2.5)}


def test_plain_arguments_are_taken_as_they_come_at_the_worker() -> None:
    def ship(count: int, line: Line) -> None: ...

    shape = Shape("shop:ship", ship, ("count", "line"))
    assert shape.decode({"count": "3", "line": {"price": 1.0}}) == {"count": "3", "line": Line(1.0)}
    with pytest.raises(PayloadError, match=r"payload\['count'\] does not fit: Expected int"):
        dispatched(shape, {"count": "3", "line": Line(1.0)})


def test_a_name_that_is_not_defined_yet_is_looked_up_later() -> None:
    def ship(order: Later) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    shape = Shape("shop:ship", ship, ("order",))
    with pytest.raises(OptionError, match="ship: an annotation is not known: name 'Later'"):
        dispatched(shape, {"order": 1})
    ship.__globals__["Later"] = Point
    try:
        assert dispatched(shape, {"order": Point(1)}) == {"order": {"x": 1, "y": 0}}
    finally:
        del ship.__globals__["Later"]


def test_a_class_may_have_a_payload_of_one_type() -> None:
    class Ship:
        payload: Order

    shape = Shape("shop:Ship", Ship, None)
    order = Order(NUMBER, [Line(2.0)])
    assert shape.decode(dispatched(shape, order)) == order
    with pytest.raises(PayloadError, match=r"payload\['id'\] does not fit: Invalid UUID"):
        shape.decode({"id": "1"})
    lines = [{"price": 1}, {"price": 2}, {"price": "3"}]
    with pytest.raises(PayloadError, match=r"Ship: payload\['lines'\]\[2\]\['price'\] does not"):
        dispatched(shape, {"id": str(NUMBER), "lines": lines})


def test_a_payload_that_is_no_object_is_refused_as_ever() -> None:
    class Ship:
        payload: list[Line]

    with pytest.raises(PayloadError, match="payload is a list; it must be a dict"):
        dispatched(Shape("shop:Ship", Ship, None), [Line(1.0)])


def test_what_has_no_annotation_is_checked_beside_what_has_one() -> None:
    def ship(order: Line, extra) -> None: ...  # type: ignore[no-untyped-def]

    shape = Shape("shop:ship", ship, ("order",))
    with pytest.raises(PayloadError, match=r"payload\['extra'\]\[0\] is a tuple"):
        dispatched(shape, {"order": Line(1.0), "extra": [(1, 2)]})


def test_keys_see_what_is_stored() -> None:
    shape = ship(UUID)
    typed.shapes[shape.job] = shape
    options = DEFAULTS.changed({"unique": poolq.Unique("order")}, shape.job)
    template = MessageTemplate(shape.job, options)
    one, two = (template.push({"order": value}, 999) for value in (NUMBER, str(NUMBER)))
    assert one.unique
    assert one.unique == two.unique


def test_an_id_of_a_job_is_a_text_in_a_typed_payload() -> None:
    value = Row(name=poolq.JobId("7"))
    assert dispatched(ship(Row), {"order": value}) == {"order": {"name": "7"}}


def test_a_typed_payload_costs_little_more_than_the_same_data_as_a_dict() -> None:
    class Ship:
        payload: Order

    typed.shapes["shop:Ship"] = Shape("shop:Ship", Ship, None)
    order = Order(NUMBER, [Line(1.5, number) for number in range(5)])
    same = msgspec.to_builtins(order)
    as_typed, as_dict = (MessageTemplate(name, DEFAULTS) for name in ("shop:Ship", "shop:Plain"))
    # Without an engine, which would add the same to both.
    cost = ratio(lambda: as_typed.push(order, 1 << 20), lambda: as_dict.push(same, 1 << 20), 200)
    assert cost <= 1 / 0.9


def test_a_subclass_has_its_parents_annotation_and_a_newer_class_its_own() -> None:
    class Ship(poolq.Job):
        name = "test_typed:Ship"
        payload: Line

        def run(self) -> None:
            """Nothing."""

    class Express(Ship):
        name = "test_typed:Express"

    shape = typed.shapes["test_typed:Express"]
    assert shape.decode(dispatched(shape, Line(1.5))) == Line(1.5)

    class Untyped(poolq.Job):
        name = "test_typed:Express"
        payload: dict[str, Any]

        def run(self) -> None:
            """Nothing."""

    assert "test_typed:Express" not in typed.shapes
