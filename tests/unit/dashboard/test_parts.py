"""The small parts of the screen: numbers, cells, bars, keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from poolq.dashboard.drawing import gauges
from poolq.dashboard.key_parser import READ_SIZE, parse, split_incomplete
from poolq.monitor import amounts
from poolq.styling import cells
from poolq.styling.theme import speaks_utf8, theme_for
from tests.unit.dashboard.frames import COLOURED


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (0.0004, "0.4ms"), (0.02, "20ms"), (4.21, "4.2s"), (42.4, "42s"),
     (59, "59s"), (60, "1m00s"), (723, "12m03s"), (11_100, "3h05m"), (1_050_000, "12d03h"),
     (-3, "-3.0s")],
)  # fmt: skip
def test_spans(seconds: float | None, text: str) -> None:
    assert amounts.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(60, "1m"), (90, "1m30s"), (1, "1s"), (1.5, "1.5s"), (86400, "1d")]
)
def test_windows(seconds: float, text: str) -> None:
    assert amounts.whole(seconds) == text


@given(st.floats(0, 1e13))
def test_numbers_are_narrow(number: float) -> None:
    assert len(amounts.count(number)) <= 6
    assert len(amounts.rate(number)) <= 6
    assert len(amounts.span(min(number, 1e9))) <= 7


@given(st.text(), st.integers(0, 40), st.booleans())
def test_a_cell_has_exactly_its_width(text: str, width: int, right: bool) -> None:
    cleaned = cells.clean(text)
    assert cleaned.isprintable()
    assert cell_len(cells.fit(cleaned, width, right=right)) == width
    assert cell_len(cells.tail(cleaned, width)) == width


def test_a_name_that_does_not_fit_leaves_its_module_out() -> None:
    assert cells.name("shop.jobs:SendMail", 18) == "shop.jobs:SendMail"
    assert cells.name("shop.jobs:SendMail", 11) == "…:SendMail "
    assert cells.name("shop.jobs:SendMail", 5) == "…Mail"


@pytest.mark.parametrize(
    ("width", "text"),
    [(30, "84 wait until 16:00:23 (in 9s)"), (29, "84 wait until 16:00:23 (in…  "),
     (22, "84 wait until…        "), (16, "84 wait until…  "), (12, "84 wait unt…"), (2, "… "),
     (1, "…")],
)  # fmt: skip
def test_a_phrase_has_whole_numbers_or_none(width: int, text: str) -> None:
    assert cells.phrase("84 wait until 16:00:23 (in 9s)", width) == text


@given(st.lists(st.floats(0, 1e9), max_size=60), st.integers(0, 100))
def test_a_sparkline_has_exactly_its_width(values: list[float], width: int) -> None:
    assert len(gauges.spark(values, width, COLOURED)) == width


def test_a_sparkline_shows_what_is_little_beside_what_is_much() -> None:
    assert gauges.spark([0, 1, 1000], 60, COLOURED).strip() == "▁▂█"


@pytest.mark.parametrize(
    ("width", "columns"), [(60, 60), (44, 30), (30, 30), (25, 20), (12, 12), (5, 5), (90, 60)]
)
def test_a_sparkline_is_of_the_last_minute(width: int, columns: int) -> None:
    drawn = gauges.spark([9.0] * 7 + [1.0] * 60, width, COLOURED)
    assert drawn == ("█" * columns).rjust(width)
    assert gauges.spark([1, 9], 60, COLOURED, many=30) == "▃█".rjust(60), "a minute not yet full"


def test_a_sparkline_without_room_is_left_out() -> None:
    assert gauges.labelled([1.0, 3.0], 18, COLOURED) == ""
    assert gauges.labelled([1.0, 3.0], 20, COLOURED) == "60 s     ▆ max   3.0"
    assert gauges.labelled([2.0] * 60, 99, COLOURED) == f"60 s {'█' * 60} max   2.0"


@pytest.mark.parametrize(
    ("part", "text"), [(0, "░░░░"), (1, "█░░░"), (50, "██░░"), (99, "███░"), (100, "████")]
)
def test_only_all_of_it_is_a_full_bar(part: float, text: str) -> None:
    assert gauges.bar(part, 100, 4, COLOURED) == text


@pytest.mark.parametrize(
    ("data", "names"),
    [(b"j", ["j"]), (b"\x1b[A\x1b[B", ["up", "down"]), (b"\x1b", ["esc"]),
     (b"\x1b[Z", ["shift-tab"]), (b"a\x1b[5~R", ["a", "page up", "R"]), (b"\x1b[99;5u", []),
     (b"\t\r\x7f\x1a", ["tab", "enter", "backspace", "ctrl-z"]), (b"\x00\x01", []),
     ("ü漢".encode(), ["ü", "漢"])],
)  # fmt: skip
def test_keys(data: bytes, names: list[str]) -> None:
    assert parse(data) == names


@given(st.binary())
def test_no_keys_break_it(data: bytes) -> None:
    parse(data)
    ready, cut = split_incomplete(data)
    assert ready + cut == data


@pytest.mark.parametrize("at", range(2, 6))
def test_a_sequence_that_a_read_has_cut_is_one_key(at: int) -> None:
    pasted = b"\x1b[200~D\x1b[201~"
    ready, cut = split_incomplete(pasted[: 7 + at])
    assert parse(ready) == ["paste begins", "D"]
    assert parse(split_incomplete(cut + pasted[7 + at :])[0]) == ["paste ends"]


def test_a_lone_escape_is_a_key_at_once() -> None:
    assert split_incomplete(b"a\x1b") == (b"a\x1b", b"")
    full = b"x" * (READ_SIZE - 1) + b"\x1b"
    assert split_incomplete(full) == (full[:-1], b"\x1b")


@pytest.mark.parametrize(
    ("environ", "yes"),
    [({"LANG": "en_US.UTF-8"}, True), ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, False),
     ({"LC_ALL": "de_DE.utf8"}, True), ({}, False), ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
     ({"LC_ALL": "C.UTF-8"}, True)],
)  # fmt: skip
def test_the_locale_tells_the_characters(environ: dict[str, str], yes: bool) -> None:
    assert speaks_utf8(environ) is yes


def test_no_color_is_obeyed() -> None:
    bare = theme_for({"NO_COLOR": "1", "TERM": "xterm", "LANG": "C.UTF-8"})
    assert bare.bad.color is None
    assert bare.chosen.reverse
    assert theme_for({"TERM": "xterm", "LANG": "C.UTF-8"}).bad.color is not None
