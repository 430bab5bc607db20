"""Tables and texts for people: nothing is cut where nobody asked, nothing steers a terminal."""

from __future__ import annotations

import json

import pytest

from poolq.cli import tables
from poolq.cli.tables import Column
from poolq.monitor import times

ID = "0192f0c0ffee4000800000000000abcd"
COLUMNS = [Column("ID"), Column("N", right=True), Column("ERROR", elastic=True)]


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_pipe_gets_everything(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(COLUMNS, [(ID, 7, "x" * 500)], ("total", 1007, ""))
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


def test_text_of_jobs_does_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table([Column("A"), Column("B")], [("\x1b[2J\n[red]", "ü\u202e")])
    assert lines(capsys)[1].split() == [r"\x1b[2J\n[red]", r"ü\u202e"]
    tables.print_fields({"a": "1\n\x1b[2J", "long name": ""})
    assert lines(capsys) == ["a:         1", r"           \x1b[2J", "long name:"]


def test_times() -> None:
    assert times.utc(1_700_000_000_000_001) == "2023-11-14T22:13:20.000001Z"
    assert times.local(1_700_000_000_000_001).startswith("2023-11-1")


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_json({"a": [1, None, "ü\x1b"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": [1, None, "ü\x1b"]}
    assert "\x1b" not in out
