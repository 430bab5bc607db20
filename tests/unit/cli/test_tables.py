"""Tables and texts for people: nothing is cut where nobody asked, nothing steers a terminal."""

from __future__ import annotations

from operator import itemgetter

import pytest

from poolq.cli import tables
from poolq.cli.tables import Column

ID = "0192f0c0ffee4000800000000000abcd"
COLUMNS = [
    Column("ID", itemgetter(0)), Column("N", itemgetter(1), right=True),
    Column("ERROR", itemgetter(2), elastic=True),
]  # fmt: skip


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_pipe_gets_everything(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(COLUMNS, [(ID, 7, "x" * 500)], total=("total", 1007, ""))
    head, row, total = lines(capsys)
    assert head.split() == ["ID", "N", "ERROR"]
    assert row.split() == [ID, "7", "x" * 500]
    assert total.split() == ["total", "1007"]
    assert row.index("7") == total.index("7", 10)  # numbers stand under each other


@pytest.mark.parametrize("width", [60, 20])
def test_a_terminal_cuts_only_what_is_elastic(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    tables.print_table(COLUMNS, [(ID, 7, "x" * 500)])
    _, row = lines(capsys)
    assert row.startswith(ID)
    assert row.endswith("x…")
    assert len(row) <= max(width, 46)


WIDE = [
    Column("ID", str), Column("QUEUE", str, elastic=True), Column("N", str, right=True, rank=1),
    Column("M", str, right=True, rank=2), Column("PAYLOAD", str, elastic=True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "kept", "shown"),
    [
        (200, [0, 1, 2, 3, 4], [32, 20, 5, 5, 40]),  # all fits
        (100, [0, 1, 2, 3, 4], [32, 20, 5, 5, 30]),  # the widest elastic column is cut first
        (80, [0, 1, 2, 3, 4], [32, 15, 5, 5, 15]),  # then both
        (66, [0, 1, 2, 3, 4], [32, 8, 5, 5, 8]),
        (65, [0, 1, 2, 4], [32, 11, 5, 5, 11]),  # the highest rank is left out
        (55, [0, 1, 4], [32, 9, 5, 5, 9]),
        (20, [0, 1, 4], [32, 8, 5, 5, 8]),  # ids stay whole
    ],
)
def test_a_table_is_fitted(width: int, kept: list[int], shown: list[int]) -> None:
    found, widths = tables.fit(WIDE, [32, 20, 5, 5, 40], width)
    assert (list(found), widths) == (kept, shown)


def test_long_texts_continue_below_and_wide_characters_count_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    columns = [Column("A", itemgetter(0), elastic=True), Column("FOUND", itemgetter(1), wrap=True)]
    tables.print_table(columns, [("\u6f22" * 20, "the server keeps nothing on disk"), ("b", "ok")])
    assert lines(capsys) == [
        "A               FOUND",
        "\u6f22\u6f22\u6f22\u6f22\u6f22\u6f22 …  the server",
        "                keeps nothing",
        "                on disk",
        "b               ok",
    ]


def test_text_of_jobs_does_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table([Column("A", str)], ["\x1b[2J\n[red]ü\u202e"])
    assert lines(capsys)[1] == r"\x1b[2J\n[red]ü\u202e"
    tables.print_fields({"a": "1\n\x1b[2J", "long name": ""})
    assert lines(capsys) == ["a:         1", r"           \x1b[2J", "long name:"]
