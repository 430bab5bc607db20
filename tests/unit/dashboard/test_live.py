"""Frames become what a terminal is sent, and acts are done beside the drawing."""

from __future__ import annotations

import threading

import pyte
import pytest
from rich.segment import Segment
from rich.style import Style

from poolq.dashboard import fetching, terminal
from poolq.dashboard.action_runner import (
    MAX_WAITING,
    PROGRESS,
    ActionResult,
    ActionRunner,
    Report,
)
from poolq.dashboard.drawing import frame
from poolq.dashboard.exit_summary import summary
from poolq.dashboard.fetching import take_result as take
from poolq.dashboard.job_list import FoundFailures
from poolq.dashboard.screen_state import HELP, Action, Detail, ScreenState
from poolq.errors import Refused
from poolq.monitor.snapshot import Snapshot
from tests.support import snapshots
from tests.support.wait import until
from tests.unit.dashboard.frames import ASCII, COLOURED

SIZE = (80, 24)


def lines(page: str = "") -> list[list[Segment]]:
    state = ScreenState(detail=Detail(page) if page else None)
    return frame.draw(snapshots.troubled(), state, COLOURED, SIZE, 0.0)


def test_only_what_has_changed_is_sent_and_makes_the_same_screen() -> None:
    one, other = lines(), lines(HELP)
    screen = pyte.Screen(*SIZE)
    stream = pyte.Stream(screen)
    stream.feed(terminal.changes(None, one, SIZE[0]))
    stream.feed(terminal.changes(one, other, SIZE[0]))
    fresh = pyte.Screen(*SIZE)
    pyte.Stream(fresh).feed(terminal.changes(None, other, SIZE[0]))
    assert screen.display == fresh.display
    assert terminal.changes(one, one, SIZE[0]) == ""
    changed = [*one[:3], [Segment("new", Style(bold=True))], *one[4:]]
    sent = terminal.changes(one, changed, SIZE[0])
    assert "\x1b[4;1H" in sent
    assert sent.count(";1H") == 1


@pytest.mark.parametrize(
    ("text", "erases"), [("x" * 79, True), ("x" * 80, False), ("漢" * 40, False)]
)
def test_nothing_is_erased_after_a_full_row(text: str, erases: bool) -> None:
    assert ("\x1b[K" in terminal.changes([], [[Segment(text)]], 80)) is erases


def test_without_colours_none_is_sent() -> None:
    drawn = frame.draw(snapshots.troubled(), ScreenState(), ASCII, SIZE, 0.0)
    sent = terminal.changes(None, drawn, SIZE[0])
    for code in (*range(30, 38), *range(40, 48), *range(90, 108)):
        assert f"[{code}m" not in sent
        assert f";{code}m" not in sent
    assert sent.isascii()


def test_an_act_that_takes_long_holds_up_nobody() -> None:
    go = threading.Event()

    def perform(action: Action, _: Report) -> tuple[str, None]:
        go.wait(60)
        if action.kind == "bad":
            raise Refused("no")
        if action.kind == "odd":
            raise KeyError("odd")
        return action.kind, None

    runner = ActionRunner(perform)
    runner.submit(Action("good"))
    runner.submit(Action("odd"))
    runner.submit(Action("bad"))
    assert runner.results() == []
    go.set()
    found = []
    until(lambda: found.extend(runner.results()) or len(found) == 3, 5, "three results")
    assert [(one.level, one.text) for one in found] == [
        ("info", "good"), ("error", "KeyError: 'odd'"), ("error", "no"),
    ]  # fmt: skip


def test_an_act_that_takes_long_holds_up_no_fetch() -> None:
    go = threading.Event()

    def perform(action: Action, _: Report) -> tuple[str, str]:
        if action.kind == "bulk":
            go.wait(60)
        return "", action.kind

    runner, found = ActionRunner(perform), []
    for kind in ("bulk", "retry", "jobs", "show"):
        runner.submit(Action(kind))
    until(lambda: found.extend(runner.results()) or len(found) == 2, 5, "what was fetched")
    assert [one.found for one in found] == ["jobs", "show"]
    go.set()
    until(lambda: found.extend(runner.results()) or len(found) == 4, 5, "the acts")
    assert [one.found for one in found[2:]] == ["bulk", "retry"]


def test_what_was_fetched_while_an_act_ended_is_fetched_again() -> None:
    state, fetch = ScreenState(), Action("failures")
    state.fetching = fetch
    take(ActionResult(Action("retry", "1"), "info", "done"), state, 0.0)
    take(ActionResult(fetch, "info", "", FoundFailures((), 0.0)), state, 0.0)
    assert fetching.wanted(state, snapshots.troubled(), 0.0) == fetch
    take(ActionResult(fetch, "info", "", FoundFailures((), 0.0)), state, 0.0)
    assert fetching.wanted(state, snapshots.troubled(), 0.0) is None


def test_few_acts_wait_for_a_broker_that_hangs_and_what_is_shown_is_still_fetched() -> None:
    go, begun = threading.Event(), threading.Event()

    def perform(action: Action, _: Report) -> tuple[str, str]:
        begun.set()
        if action.kind == "retry":
            go.wait(60)
        return "", action.kind

    runner, found = ActionRunner(perform), []
    assert runner.submit(Action("retry"))
    assert begun.wait(60)
    accepted = [runner.submit(Action("retry")) for _ in range(MAX_WAITING + 2)]
    assert accepted == [True] * MAX_WAITING + [False] * 2
    assert all(runner.submit(Action("show")) for _ in range(MAX_WAITING + 2))
    go.set()
    total = 1 + MAX_WAITING + MAX_WAITING + 2
    until(lambda: found.extend(runner.results()) or len(found) == total, 5, "what was accepted")
    assert runner.submit(Action("retry"))


def test_an_act_says_how_far_it_is_and_stops_if_asked() -> None:
    reported = threading.Event()

    def perform(_: Action, report: Report) -> tuple[str, None]:
        done = 0
        while report(f"{done} done"):
            done += 1
            reported.set()
        return f"stopped after {done}", None

    runner, found = ActionRunner(perform), []
    runner.submit(Action("bulk"))
    assert reported.wait(60)
    runner.stop("count")
    runner.stop("bulk")
    until(lambda: found.extend(runner.results()) or found[-1].level != PROGRESS, 5, "its end")
    assert [one.text for one in found[:2]] == ["0 done", "1 done"]
    assert found[-1].text == f"stopped after {len(found) - 2}"


@pytest.mark.parametrize(
    ("killed", "names", "text"),
    [(1, ("a:B 1",), "1 running job was killed and released: a:B 1"),
     (2, ("a:B 1", "a:B 2"), "2 running jobs were killed and released: a:B 1, a:B 2"),
     (9, ("a:B 1", "a:B 2"), "9 running jobs were killed and released: a:B 1, a:B 2 and 7 more")],
)  # fmt: skip
def test_jobs_that_an_end_has_killed_are_named(
    killed: int, names: tuple[str, ...], text: str
) -> None:
    last = Snapshot(at=snapshots.AT, head=snapshots.head(killed=killed, killed_jobs=names))
    assert text in summary(last, ended=True)


@pytest.mark.parametrize("ended", [True, False])
def test_the_last_words(ended: bool) -> None:
    found = " ".join(summary(snapshots.troubled(), ended=ended))
    if ended:
        assert "pool shop has ended after 3h05m: 123456 done, 17 failed" in found
        assert "/run/poolq/shop.log" in found
    else:
        assert "keeps running" in found
