"""The command line: completion, history, and what it leads to."""

from __future__ import annotations

import pytest

from poolq.dashboard.command_line import READ_ONLY
from poolq.dashboard.job_list import FoundJobs, JobView
from poolq.dashboard.key_bindings import press
from poolq.dashboard.screen_state import Action, CommandLine, ScreenState
from poolq.engines.base import StoredJob
from poolq.jobs.message import State
from tests.support import snapshots

POOL = snapshots.troubled()


def typed(state: ScreenState, text: str, *keys: str) -> Action | None:
    """Type a command, then these keys. Returns the last action."""
    action = None
    for key in (*([] if state.command else [":"]), *text, *keys):
        action = press(key, state, POOL, 0.0)
    return action


def line(state: ScreenState) -> CommandLine:
    assert state.command is not None
    return state.command


def test_a_command_is_run_as_it_was_typed() -> None:
    state = ScreenState()
    text = "failed retry --error 'no such user'"
    assert typed(state, f" {text} ", "enter") == Action("run", text)
    assert (state.command, state.history) == (None, [text])


def test_a_mistake_is_told_and_the_text_stays() -> None:
    state = ScreenState()
    assert typed(state, "failed retry --error 'no", "enter") is None
    assert line(state).error == "a quotation mark is not closed"
    press("backspace", state, POOL, 0.0)
    assert (line(state).text, line(state).error) == ("failed retry --error 'n", "")


@pytest.mark.parametrize(
    ("text", "completed", "offers"),
    [
        ("queue pause e", "queue pause emails ", ()),
        ("job cancel --queue=b", "job cancel --queue=billing ", ()),
        ("job move 0192 --to=emai", "job move 0192 --to=emails ", ()),
        ("limit hold geo", "limit hold geocode ", ()),
        ("failed retry --job shop.jobs:C", "failed retry --job shop.jobs:Charge ", ()),
        ("log --job=shop.jobs:S", "log --job=shop.jobs:SendMail ", ()),
        ("nonsense xyz", "nonsense xyz", ()),
        ("job show 1", "job show 1", ("1a", "1b")),
    ],
)
def test_tab_completes_the_names_that_the_screen_shows(
    text: str, completed: str, offers: tuple[str, ...]
) -> None:
    state = ScreenState(pane="queues")
    press("enter", state, POOL, 0.0)
    assert state.jobs is not None
    jobs = [
        JobView(StoredJob(id, "billing", "ready", 0, b"", State()), "a:B", "{}", 1, "")
        for id in ("1a", "1b")
    ]
    state.jobs.found = FoundJobs(jobs, True, 0, 0.0)
    typed(state, text, "tab")
    assert (line(state).text, line(state).offers) == (completed, offers)


def test_arrows_bring_back_earlier_commands() -> None:
    state = ScreenState()
    for text in ("scale 3", "queue pause emails", "scale 3"):
        typed(state, text, "enter")
    assert state.history == ["queue pause emails", "scale 3"], "each is there once"
    seen = []
    for key in ("up", "up", "up", "down", "down"):
        typed(state, "" if seen else "dr", key)
        seen.append(line(state).text)
    assert seen == ["scale 3", "queue pause emails", "queue pause emails", "scale 3", "dr"]


@pytest.mark.parametrize(
    "keys", [("esc",), ("ctrl-c",), ("ctrl-u", "backspace"), ("ctrl-u", "enter")]
)
def test_a_command_is_given_up(keys: tuple[str, ...]) -> None:
    state = ScreenState()
    assert typed(state, "drain", *keys) is None
    assert (state.command, state.question, state.history) == (None, None, [])


@pytest.mark.parametrize("text", ["scale 3", "drain", "quit", "failed retry --all"])
def test_a_read_only_screen_takes_no_letter_of_a_command_for_a_key(text: str) -> None:
    state = ScreenState(read_only=True)
    assert typed(state, text, "enter") is None
    assert state == ScreenState(read_only=True, command=state.command)
    assert (line(state).text, line(state).error) == (text, READ_ONLY)
    press("esc", state, POOL, 0.0)
    assert state.command is None
