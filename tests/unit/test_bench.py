"""The pure parts of the benchmarks: numbers, goals, tables and the plot."""

from __future__ import annotations

import os
from math import nan
from pathlib import Path
from subprocess import PIPE, Popen
from xml.etree import ElementTree as ET

import pytest

from benchmarks import report, stats, tally
from benchmarks.admissions import Write, judge
from benchmarks.feeding import Feeder
from benchmarks.goals import Goal
from benchmarks.plot import svg
from benchmarks.report import Bar, Chart, Outcome, page, unfitting


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 50), (0.99, 99), (1, 100), (0.001, 1), (0, 1)])
def test_a_quantile_is_a_value_that_was_measured(share: float, wanted: int) -> None:
    assert stats.quantile(range(100, 0, -1), share) == wanted


def test_the_spread_is_a_share_of_the_median() -> None:
    assert stats.spread([9, 10, 12]) == pytest.approx(0.3)
    assert stats.spread([0, 0]) == 0


@pytest.mark.parametrize(
    ("wanted", "value", "most", "reached", "factor"),
    [
        (10, 25, False, True, 2.5),
        (10, 10, False, True, 1),
        (10, 5, False, False, 0.5),
        (2, 1, True, True, 2),
        (2, 2, True, True, 1),
        (2, 4, True, False, 0.5),
        (2, 0, True, True, float("inf")),
        (2, -1, True, True, float("inf")),
    ],
)
def test_a_goal(wanted: float, value: float, most: bool, reached: bool, factor: float) -> None:
    goal = Goal("key", "work", wanted, value, most=most)
    assert goal.reached == reached
    assert goal.factor == factor


def test_a_goal_that_could_not_be_measured_is_not_reached() -> None:
    for goal in (Goal("key", "work", 1, nan), Goal("key", "work", nan, 1, most=True)):
        assert not goal.measured
        assert not goal.reached


def test_a_limit_that_was_kept() -> None:
    writes = [*((0, used) for used in (1, 2, 3)), *((100, used) for used in (1, 2)), (250, 1)]
    assert judge([Write(*one) for one in writes], 3, 100) == (6, 3, 3, 0, pytest.approx(5 / 7.5))


def test_a_limit_that_was_exceeded() -> None:
    above = [Write(0, used) for used in (1, 2, 3)]
    assert judge(above, 2, 100).over == 1
    early = [Write(0, 1), Write(99, 1), Write(99, 2)]
    assert judge(early, 2, 100).over == 2


def test_a_record_of_admissions_that_takes_starts_back_is_refused() -> None:
    assert judge([Write(0, 1), Write(0, 3)], 10, 100).admitted == 3
    with pytest.raises(ValueError, match="start 3 of a window follows start 3"):
        judge([Write(0, 1), Write(0, 3), Write(0, 3)], 10, 100)


def test_the_page_links_a_missed_goal_to_its_reason() -> None:
    good = Goal("one", "good work", 1, 2, "times")
    bad = Goal("no-such-reason", "bad work", 2, 1, "ms")
    text = page("# Head", [Outcome("Part", ("a",), [("b",)], [good, bad])], "tail")
    assert "1 of 2 goals are reached." in text
    assert "| good work | at least 1 times | 2 times | reached | 2.00 |" in text
    assert "**not reached** ([why](#why-no-such-reason))" in text
    assert "### Why: no-such-reason\n\nbad work: 1 ms; the goal is 2 ms.\n\nNo reason" in text
    assert "## Part\n\n| a |" in text


def test_the_page_has_the_reasons_of_misses_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "REASONS", tmp_path)
    for name in ("reached", "missed", "nobodys"):
        (tmp_path / f"{name}.md").write_text(f"Because of {name}.\n", "utf-8")
    goals = [Goal("reached", "", 1, 2), Goal("missed", "", 2, 1), Goal("silent", "", 2, 1)]
    goals.append(Goal("unknown", "", 1, nan))
    text = page("# Head", [Outcome("Part", (), (), goals)], "tail")
    assert "Because of missed." in text
    assert "Because of reached." not in text
    assert "**not measured**" in text
    assert unfitting(goals) == (["silent"], ["nobodys", "reached"])


def test_the_plot_is_an_image_of_all_bars() -> None:
    bars = [Bar("us & them", 100, own=True), Bar("them", 10)]
    root = ET.fromstring(svg([Chart("Rates", "jobs/s", bars)]))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[1:] == ["us & them", "100", "them", "10"]
    _, first, second = root.iter("{http://www.w3.org/2000/svg}rect")
    assert float(first.attrib["width"]) > float(second.attrib["width"])


def test_the_tally_counts_in_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tally.Tally(tmp_path / "tally")
    monkeypatch.setenv(tally.VARIABLE, str(seen.path))
    monkeypatch.setattr(tally, "_words", None)
    monkeypatch.setattr(tally, "_own", None)
    tally.count()
    child = os.fork()
    if not child:
        tally.count()
        tally.count()
        tally.late(0)
        os._exit(0)
    os.waitpid(child, 0)
    assert (seen.total(), seen.processes(), len(seen.waits())) == (3, 2, 1)


def test_a_flaky_job_fails_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tally.Tally(tmp_path / "tally")
    monkeypatch.setenv(tally.VARIABLE, str(seen.path))
    with pytest.raises(tally.Again):
        tally.flaky(3)
    tally.flaky(3)
    assert [number for number, *_ in seen.spans()] == [6, 7]


def test_a_share_of_the_jobs_that_are_fed_fails_at_first() -> None:
    with Popen(["cat"], stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as cat:
        producer = Feeder(cat, 0.01)
        for many in (150, 30, 120):
            producer.send(many)
        said, _ = cat.communicate()
    assert said.splitlines() == ["149 1 0", "30 0 1", "118 2 1"]
    assert (producer.sent, producer.failing) == (300, 3)
