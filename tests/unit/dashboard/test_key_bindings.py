"""What each key does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolq.dashboard.action_runner import ActionResult
from poolq.dashboard.drawing import frame
from poolq.dashboard.fetching import take_result as take
from poolq.dashboard.key_bindings import KEYS, LEAVE, REDRAW, STOP, SUSPEND, press
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import Action, Detail, Order, ScreenState
from poolq.dashboard.selection import chosen
from tests.support import snapshots
from tests.unit.dashboard.frames import ASCII, screen_text

POOL = snapshots.troubled()
NAMES = ["N", ":", "A", "K", "m", "s", "S", "ctrl-w", "click", "wheel up", "wheel down",
         "j", "k", "up", "down", "tab", "shift-tab", "enter", "esc", "/", "p", "r", "+", "-", "R",
         "D", "X", "q", "?", "y", "n", "home", "end", "page up", "page down", "backspace",
         "ctrl-u", "ctrl-z", "ctrl-l", "a", "漢"]  # fmt: skip


def keys(state: ScreenState, *names: str) -> list[Action | None]:
    return [press(name, state, POOL, 0.0) for name in names]


def test_tab_goes_through_all_panes_and_back() -> None:
    state, seen = ScreenState(), []
    for _ in PANES:
        seen.append(state.pane)
        keys(state, "tab")
    assert seen == list(PANES)
    assert state.pane == "workers"
    keys(state, "shift-tab")
    assert state.pane == "nodes"


def test_arrows_choose_and_stop_at_the_ends() -> None:
    state, rows = ScreenState(), PANES["workers"].shown(POOL, ScreenState())
    keys(state, "j", "down")
    assert chosen(state, POOL) == rows[2]
    keys(state, "k", "up", "up", "up")
    assert chosen(state, POOL) == rows[0]
    keys(state, "end")
    assert chosen(state, POOL) == rows[-1]


def test_keys_are_about_the_row_that_stood_first_when_its_pane_was_entered() -> None:
    state = ScreenState()
    keys(state, "tab")
    assert chosen(state, POOL).queue == "emails"
    queues = (snapshots.queue("a", parked=100), *POOL.queues)
    moved = msgspec.structs.replace(POOL, queues=queues)
    assert press("p", state, moved, 0.0) == Action("pause", "emails")


def test_a_filter_hides_rows_until_it_is_taken_away() -> None:
    state = ScreenState()
    keys(state, "/", *"STUCK")
    assert state.typing
    assert chosen(state, POOL) == snapshots.STUCK
    keys(state, "enter", "j")
    assert PANES["workers"].shown(POOL, state) == [snapshots.STUCK]
    keys(state, "esc")
    assert len(PANES["workers"].shown(POOL, state)) == 4


def test_a_key_that_acts_is_only_text_while_one_types() -> None:
    assert keys(ScreenState(), "/", "R", "D", "X", "q", "+") == [None] * 6


@pytest.mark.parametrize(
    ("key", "pane", "kind"),
    [("R", "workers", "reload"), ("D", "workers", "drain"), ("X", "failures", "forget")],
)
def test_upper_case_asks_and_the_default_is_no(key: str, pane: str, kind: str) -> None:
    for answer in ("n", "enter", "esc", "Y", "y"):
        state = ScreenState(pane=pane)
        assert keys(state, key) == [None]
        assert state.question is not None
        (action,) = keys(state, answer)
        assert state.question is None
        assert (action.kind if action else None) == (kind if answer in "yY" else None)


def test_acts_name_what_is_chosen() -> None:
    state = ScreenState(pane="queues")
    assert keys(state, "p") == [Action("pause", "emails")]
    assert keys(state, "j", "p")[-1] == Action("resume", "billing")  # it is paused
    state = ScreenState(pane="failures")
    assert keys(state, "j", "r")[-1] == Action("retry", POOL.failures[1].id)
    assert keys(ScreenState(), "+", "-") == [Action("scale", "+1"), Action("scale", "-1")]


@pytest.mark.parametrize("key", ["p", "r", "X", "A", "m"])
def test_a_key_without_its_row_says_so(key: str) -> None:
    state = ScreenState()
    assert keys(state, key) == [None]
    assert "select one" in state.message


@pytest.mark.parametrize(
    ("action", "text", "shown"),
    [
        (Action("scale", "+1"), "scaled to 5 workers", "scaled to 5 workers; - takes that back"),
        (Action("scale", "-1"), "scaled to 3 workers", "scaled to 3 workers; + takes that back"),
        (Action("pause", "mails"), "queue mails is paused", "queue mails is paused; p resumes it"),
        (Action("resume", "mails"), "queue mails is resumed", "queue mails is resumed; p pauses"),
        (Action("retry", "0192"), "job 0192 is back in its queue", "job 0192 is back in its queue"),
    ],
)
def test_a_change_is_shown_with_the_key_that_takes_it_back(
    action: Action, text: str, shown: str
) -> None:
    state = ScreenState()
    take(ActionResult(action, "info", text), state, 0.0)
    assert state.message.startswith(shown)
    take(ActionResult(action, "error", "the engine is gone"), state, 0.0)
    assert state.message == "the engine is gone"


def test_enter_fetches_what_is_not_on_the_screen() -> None:
    state = ScreenState()
    worker = snapshots.STUCK
    assert keys(state, "enter") == [Action("show", worker.id, worker.pid)]
    assert state.detail is not None
    assert state.detail.waits
    keys(state, "esc")
    assert state.detail is None
    state = ScreenState(pane="failures")
    assert keys(state, "enter") == [Action("show", POOL.failures[0].id)]
    assert keys(state, "r") == [Action("retry", POOL.failures[0].id)], "its keys work there too"


def test_a_waiting_queue_is_purged_after_a_question_with_its_counts() -> None:
    state = ScreenState(pane="queues", chosen={"queues": "billing"})
    keys(state, "X")
    assert state.question is not None
    counts = "12 ready, 3 delayed and 0 parked jobs"
    assert state.question.text == f"Delete {counts} of queue 'billing'?"
    assert keys(state, "n", "X", "y")[-1] == Action("purge", "billing")
    empty = msgspec.structs.replace(POOL, queues=(snapshots.queue("a", ready=0, delayed=0),))
    assert press("X", state, empty, 0.0) is None
    assert (state.question, state.message) == (None, "no job waits in queue a")


def test_a_killed_workers_job_is_cancelled_or_given_back_as_one_answers() -> None:
    stuck = snapshots.STUCK
    for answer, kind in (("c", "kill"), ("g", "kill and give back"), ("y", ""), ("esc", "")):
        state = ScreenState()
        keys(state, "K")
        assert state.question is not None
        assert state.question.text == (
            f"Kill worker 2 (pid {stuck.pid}), which has run shop.jobs:Invoice {stuck.id} for"
            " 12m03s?"
            " c cancels the job, g gives it back to its queue"
        )
        assert keys(state, answer) == [Action(kind, stuck.id, stuck.pid) if kind else None]
        assert state.question is None
    state = ScreenState()
    assert keys(state, "end", "K")[-1] is None
    assert state.message.startswith("K acts on a worker that runs a job")


def test_a_job_is_moved_by_completing_the_command_that_a_key_begins() -> None:
    state = ScreenState(pane="failures")
    id = POOL.failures[0].id
    assert keys(state, "m", *"em", "tab", "enter")[-1] == Action(
        "run", f"job move {id} --to=emails"
    )
    assert state.command is None


def test_a_pane_is_sorted_by_each_of_its_columns_and_at_last_as_before() -> None:
    state, seen = ScreenState(pane="queues"), []
    titles = list(PANES["queues"].sorts)
    for title in (*titles, None):
        keys(state, "s")
        order = state.orders.get("queues")
        assert (order.column if order else None) == title
        seen.append([one.queue for one in PANES["queues"].shown(POOL, state)])
    assert state.message == "queues: in their usual order"
    assert seen[0] == ["billing", "default", "emails"]
    assert seen[titles.index("READY")] == ["default", "billing", "emails"]
    assert seen[titles.index("OLDEST")] == ["default", "billing", "emails"], "unknown ones are last"
    assert seen[-1] == ["emails", "billing", "default"], "by trouble, jobs and name"
    keys(state, "S")
    assert [one.queue for one in PANES["queues"].shown(POOL, state)] == seen[0][::-1]
    state.orders["queues"] = Order("OLDEST", descending=False)
    assert [one.queue for one in PANES["queues"].shown(POOL, state)] == [
        "billing", "default", "emails",
    ]  # fmt: skip


@pytest.mark.parametrize("name", PANES)
def test_each_order_is_that_of_a_column(name: str) -> None:
    titles = {column.title for column in PANES[name].columns}
    assert set(PANES[name].sorts) <= titles
    for title in PANES[name].sorts:
        state = ScreenState(orders={name: Order(title, descending=True)})
        rows = PANES[name].shown(POOL, state)
        assert len(rows) == len(PANES[name].rows(POOL, state))


def test_esc_stops_an_act_on_many_jobs() -> None:
    state = ScreenState(progress="retrying: 500 of 2000 jobs")
    assert keys(state, "esc") == [STOP]
    keys(state, ":", "x")
    assert keys(state, "esc") == [None], "it closes what is open first"


def test_q_leaves_top_and_drains_one_s_own_pool_after_asking() -> None:
    assert keys(ScreenState(), "q") == [LEAVE]
    state = ScreenState(own=True)
    assert keys(state, "q", "y") == [None, Action("drain")]


def test_no_acting_key_acts_where_one_only_looks() -> None:
    for key in KEYS:
        for name in key.keys.split(", ") if key.changes else ():
            for pane in PANES:
                state = ScreenState(read_only=True, pane=pane)
                assert keys(state, name, "y") == [None, None]
                assert state.question is None
    assert keys(ScreenState(read_only=True), "q") == [LEAVE]


def test_what_is_pasted_is_only_text() -> None:
    state = ScreenState(pane="queues")
    assert keys(state, "paste begins", *"p+RDy", "enter", "ctrl-z", "paste ends") == [None] * 9
    assert (state.question, state.detail) == (None, None)
    keys(state, "/", "paste begins", *"id", "enter", "paste ends")
    assert (state.filter, state.typing) == ("id", True)
    assert keys(state, "enter", "p")[-1] is None
    keys(state, "esc", "D", "paste begins", "y", "paste ends")
    assert state.question is not None, "nor does it answer a question"
    state = ScreenState()
    assert keys(state, ":", "paste begins", *"drain", "enter", "paste ends") == [None] * 9
    assert state.command is not None
    assert state.command.text == "drain", "it is carried out only if the user presses enter"


def test_the_help_can_be_read_where_it_is_longer_than_the_screen() -> None:
    state, size = ScreenState(), (60, 12)
    keys(state, "?")

    def shown() -> str:
        return screen_text(POOL, size, state, ASCII)

    assert "more lines" in shown()
    assert "STALE" not in shown()
    keys(state, "end")
    assert "STALE" in shown()
    assert "more lines" not in shown()
    keys(state, "k")
    assert "v 1 more line " in shown()
    keys(state, "home")
    before = shown().splitlines()
    keys(state, "page down")
    assert shown().splitlines()[2] == before[10], "the last line is now the first"
    keys(state, "/", *"STALE", "enter")
    assert "match 1 of 1" in shown()
    keys(state, "esc", "?")
    assert state.detail is None
    keys(state, "enter", "?", "!", "esc", "esc")
    assert state.detail is not None
    assert state.detail.pane == "workers", "it is where one was before"


def test_text_is_found_in_a_detail() -> None:
    lines = "\n".join(f"line {number}" for number in range(300))
    detail = Detail("workers", str(snapshots.STUCK.pid), {"stack": lines})
    state = ScreenState(detail=detail, filter="x")

    def found(*names: str) -> tuple[str, str]:
        """The title, and the text of the line that stands out."""
        keys(state, *names)
        drawn = frame.draw(POOL, state, ASCII, (60, 15), 0.0)
        title = next(line[0].text for line in drawn if line[0].style == ASCII.focused)
        marked = [line[0].text for line in drawn if line and line[0].style == ASCII.chosen]
        return title.split(":")[1].split("  ")[0].strip(), "".join(marked).strip()

    assert found("/", *"line 7") == ("match 1 of 11", "line 7")
    assert found(*"0") == ("match 1 of 1", "line 70")
    assert found("backspace", "enter", "n") == ("match 2 of 11", "line 70")
    assert found("N", "N") == ("match 11 of 11", "line 79")
    assert found("n") == ("match 1 of 11", "line 7")
    assert found("/", *"xyz") == ("no line contains the text", "")
    assert found("esc") == ("esc goes back", "")
    assert state.filter == "x"
    keys(state, "esc")
    assert state.detail is None


def test_control_keys() -> None:
    state = ScreenState(typing=True)
    assert keys(state, "ctrl-z", "ctrl-l") == [SUSPEND, REDRAW]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(NAMES), max_size=30), st.booleans(), st.booleans())
def test_no_keys_break_it(names: list[str], own: bool, read_only: bool) -> None:
    state = ScreenState(own=own, read_only=read_only)
    for name in names:
        action = press(name, state, POOL, 0.0)
        assert not (
            read_only and action and action.kind not in ("leave", "suspend", "redraw", "show")
        )
