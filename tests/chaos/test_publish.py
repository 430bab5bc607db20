"""The block of docs/guarantees.md: readable tables, in the place that is marked for them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.checker import Verdict
from tests.chaos.publish import BEGIN, END, publish, shown, table
from tests.chaos.repeats import CAUSES, SILENCE
from tests.chaos.run import Report


def report(engine: str, *violations: str) -> Report:
    doubles = Counter({SILENCE: 2})
    verdict = Verdict(list(violations), 100, 120, 3, doubles, stale=1, gone=0, behind=0)
    return Report(engine, 60.0, 7, verdict, Counter({"kill-pool": 4}), 0, 1.2, "a note")


def test_a_column_for_each_run() -> None:
    lines = table([report("redis"), report("sqlite", "lost: x", "lost: y")]).splitlines()
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if "|" in line}
    cells = {name: [cell.strip() for cell in row] for name, row in rows.items()}
    assert cells["jobs dispatched"] == ["100", "100"]
    assert cells["**lost**"] == ["0", "2"]
    assert cells["faults"] == ["4", "4"]
    assert cells[SILENCE] == ["2", "2"]
    assert set(CAUSES) < set(cells)
    assert "redis, sqlite: a note." in lines


def test_the_block_is_written_and_all_else_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    for _ in range(2):
        publish([report("redis")], page)
    assert page.read_text() == f"above\n{BEGIN}\n{table([report('redis')])}\n{END}\nbelow\n"
    page.write_text("nothing")
    with pytest.raises(AssertionError, match="has no block"):
        publish([report("redis")], page)


def test_a_run_on_the_terminal() -> None:
    assert "100 jobs, 120 starts" in shown(report("redis"))
    assert f"2: {SILENCE}" in shown(report("redis"))
