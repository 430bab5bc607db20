"""The mouse: what a terminal sends, what it points at, and what a click and the wheel do."""

from __future__ import annotations

import pytest

from poolq.dashboard.drawing import frame, targets
from poolq.dashboard.drawing.targets import Target
from poolq.dashboard.job_list import FoundJobs, JobView
from poolq.dashboard.key_bindings import press
from poolq.dashboard.key_parser import mouse, parse, split_incomplete
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import Action, CommandLine, Order, ScreenState
from poolq.dashboard.selection import chosen
from poolq.engines.base import StoredJob
from poolq.jobs.message import State
from poolq.monitor.alerts import alerts
from poolq.styling.cells import Line
from tests.support import snapshots
from tests.unit.dashboard.frames import ASCII, screen_text, shown

POOL = snapshots.troubled()


def drawn(state: ScreenState, size: tuple[int, int] = (100, 30)) -> list[Line]:
    return frame.draw(POOL, state, ASCII, size, 0.0)


def point(
    key: str, state: ScreenState, text: str, size: tuple[int, int] = (100, 30)
) -> Action | None:
    """Point at the first place where the text stands."""
    rows = shown(POOL, size, state, ASCII)
    y = next(y for y, row in enumerate(rows) if text in row)
    return press(key, state, POOL, 0.0, targets.find(drawn(state, size), rows[y].index(text), y))


def test_what_a_terminal_sends() -> None:
    sent = b"j\x1b[<0;5;9M\x1b[<0;5;9m\x1b[<64;100;1M\x1b[<65;1;30M\x1b[<2;1;1M\x1b[<35;7;7Mk"
    assert parse(sent) == ["j", "click at 4,8", "wheel up at 99,0", "wheel down at 0,29", "k"]
    assert mouse("click at 4,8") == ("click", 4, 8)
    assert mouse("j") is None


@pytest.mark.parametrize(
    "sent", [b"\x1b[<0;5M", b"\x1b[<0;5;?9M", b"\x1b[<;;M", b"\x1b[<0;5;9;1M", b"\x1b[MDXq"]
)
def test_what_is_not_understood_is_no_key(sent: bytes) -> None:
    assert parse(sent + b"j") == ["j"]


@pytest.mark.parametrize("sent", [b"\x1b[<0;5;9M", b"\x1b[M Dq"])
def test_a_click_that_arrives_in_two_reads_is_one(sent: bytes) -> None:
    for cut in range(1, len(sent)):
        whole, rest = split_incomplete(b"j" + sent[:cut])
        if cut > 1:  # a lone escape is a key
            assert (whole, rest) == (b"j", sent[:cut])
    assert split_incomplete(sent) == (sent, b"")


@pytest.mark.parametrize("size", [(60, 15), (100, 30), (200, 50)])
@pytest.mark.parametrize("pane", PANES)
def test_each_row_is_found_where_it_is_drawn(pane: str, size: tuple[int, int]) -> None:
    state = ScreenState(pane=pane)
    lines = drawn(state, size)
    places = [
        target for y in range(size[1]) for x in range(size[0])
        if (target := targets.find(lines, x, y)) and target.pane == pane
    ]  # fmt: skip
    rows = [PANES[pane].key(row) for row in PANES[pane].shown(POOL, state)]
    found = list(dict.fromkeys(one.key for one in places))
    assert found[:2] == ["", rows[0]]
    assert found[1:] == rows[: len(found) - 1]
    assert targets.find(lines, 0, 0) is None, "the head is no row"
    assert targets.find(lines, 0, size[1]) is None


def test_a_row_ends_where_its_pane_ends() -> None:
    """Beside the last rows of the left column, the right column may be empty."""
    lines = drawn(ScreenState(), (200, 50))
    beside = [targets.find(lines, 150, y) for y in range(50) if targets.find(lines, 5, y)]
    assert None in beside
    left = {"queues", "limits", "kinds"}
    assert not {one.pane for one in beside if one} & left


def test_a_click_selects_and_a_second_one_opens() -> None:
    state = ScreenState()
    assert point("click", state, "emails") is None
    assert (state.pane, chosen(state, POOL).queue) == ("queues", "emails")
    assert state.detail is None
    point("click", state, "default")
    assert chosen(state, POOL).queue == "default"
    press("k", state, POOL, 0.0)
    press("j", state, POOL, 0.0)
    point("click", state, "default")
    assert state.detail is None, "a key in between ends the pair"
    point("click", state, "2 STUCK")
    point("click", state, "2 STUCK")
    assert state.detail is not None
    assert (state.detail.pane, state.detail.key) == ("workers", str(snapshots.STUCK.pid))


def test_a_click_on_a_header_goes_to_its_pane_and_then_sorts() -> None:
    state = ScreenState()
    point("click", state, "READY")
    assert (state.pane, state.orders) == ("queues", {})
    point("click", state, "READY")
    assert state.orders == {"queues": Order("READY", descending=True)}
    point("click", state, "READY")
    assert state.orders == {"queues": Order("READY", descending=False)}
    point("click", state, "USUAL")
    assert state.pane == "workers"


def test_the_wheel_moves_the_selection_and_scrolls_what_is_open() -> None:
    state = ScreenState()
    point("wheel down", state, "QUEUES")
    assert (state.pane, chosen(state, POOL)) == ("queues", PANES["queues"].shown(POOL, state)[2])
    point("wheel up", state, "QUEUES")
    assert chosen(state, POOL) == PANES["queues"].shown(POOL, state)[0]
    press("?", state, POOL, 0.0)
    point("wheel down", state, "KEYS", (60, 15))
    assert state.detail is not None
    assert state.detail.scroll == 3


def test_a_click_in_a_list_of_jobs_stays_in_it() -> None:
    state = ScreenState(pane="queues")
    press("enter", state, POOL, 0.0)
    assert state.jobs is not None
    job = StoredJob("0192f3", "billing", "ready", 0, b"", State())
    jobs = [JobView(job._replace(id=id), "a:B", "{}", 1, "") for id in ("1", "2", "3")]
    state.jobs.found = FoundJobs(jobs, True, 3, 0.0)
    target = Target("jobs", "2")
    assert press("click", state, POOL, 0.0, target) is None
    assert state.chosen["jobs"] == "2"
    assert press("click", state, POOL, 0.0, target) == Action("show", "2")
    press("esc", state, POOL, 0.0)
    press("wheel down", state, POOL, 0.0, target)
    assert state.chosen["jobs"] == "3"
    assert press("click", state, POOL, 0.0, Target("workers", "1")) is None
    assert state.pane == "queues"
    press("m", state, POOL, 0.0)
    assert state.command is not None
    assert state.command.text == "job move 3 --to="


def test_a_click_neither_answers_nor_ends_what_is_typed() -> None:
    state = ScreenState()
    press("D", state, POOL, 0.0)
    for _ in range(2):
        assert point("click", state, "2 STUCK") is None
    assert state.question is not None
    for typed in (ScreenState(typing=True), ScreenState(command=CommandLine("drain"))):
        point("click", typed, "QUEUES")
        assert typed.pane == "workers"


def test_what_is_no_row_does_nothing() -> None:
    state = ScreenState()
    assert press("click", state, POOL, 0.0, None) is None
    assert press("click", state, POOL, 0.0, Target("gone", "1")) is None
    assert (state.pane, state.detail) == ("workers", None)


def test_a_click_on_a_problem_or_its_key_shows_all_problems_in_full() -> None:
    clicked, pressed = ScreenState(), ScreenState()
    lines = drawn(clicked, (60, 15))
    at = next(y for y, line in enumerate(lines) if line[0].text.startswith("!"))
    assert press("click", clicked, POOL, 0.0, targets.find(lines, 3, at)) is None
    assert press("!", pressed, POOL, 0.0) is None
    found = alerts(POOL)
    assert len(found) > 3
    for state in (clicked, pressed):
        text = " ".join(screen_text(POOL, (100, 50), state, ASCII).split())
        places = [text.index(f"{n} {one.subject} {one.verdict}") for n, one in enumerate(found, 1)]
        assert places == sorted(places)
        assert press("esc", state, POOL, 0.0) is None
        assert state.detail is None


def test_without_problems_the_page_says_so() -> None:
    quiet = snapshots.well()
    state = ScreenState()
    press("!", state, quiet, 0.0)
    assert "no trouble" in screen_text(quiet, (100, 30), state)
