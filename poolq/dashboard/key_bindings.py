"""Handles keys and the mouse (pure): changes the state of the screen, and returns actions.

`KEYS` says what each key does; the help page shows it. Actions that cannot be undone ask for
confirmation. `loop.py` carries out the actions leave, suspend, redraw, stop and run; `actions.py`
carries out the others. `command_line.py` handles the keys of a command.
"""

from collections.abc import Callable
from typing import NamedTuple

from poolq.dashboard import command_line, questions, selection
from poolq.dashboard.drawing.targets import Target
from poolq.dashboard.job_list import JobList, JobView, counts
from poolq.dashboard.panes import PANES
from poolq.dashboard.panes.jobs import JOBS_PANE
from poolq.dashboard.screen_state import (
    HELP,
    PROBLEMS,
    Action,
    CommandLine,
    Detail,
    Result,
    ScreenState,
)
from poolq.dashboard.selection import chosen, pane_of, row_keys
from poolq.log.line_filter import LineFilter
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.snapshot import FailureView, QueueView, Snapshot, WorkerView

LEAVE, SUSPEND, REDRAW = Action("leave"), Action("suspend"), Action("redraw")
STOP, STOP_COUNT = Action("stop"), Action("stop", "count")
_ANYWHERE = {"ctrl-z": SUSPEND, "ctrl-l": REDRAW}
_WHEEL = {"wheel up": -3, "wheel down": 3}
_FAR = 10**9
_MOVES = {"down": 1, "up": -1, "home": -_FAR, "end": _FAR}
_STEPS = {"tab": 1, "shift-tab": -1}
#: Keys that do the same as others, while nothing is being typed.
_ALIASES = {
    "j": "down", "k": "up", "g": "home", "G": "end", "right": "tab", "left": "shift-tab",
    "=": "+", "backspace": "esc",
}  # fmt: skip


def press(
    key: str, state: ScreenState, snapshot: Snapshot, now: float, target: Target | None = None
) -> Action | None:
    """Handle a key and return the action to carry out, if any. `now` is in monotonic seconds;
    `target` is what the mouse points at."""
    types = state.question is None and (state.command is not None or state.typing)
    if key.startswith("paste "):
        state.pasting = key == "paste begins"
    elif state.pasting and not (types and len(key) == 1):
        return None  # pasted text may be typed into a command or filter, but never acts as keys
    elif key in _ANYWHERE:
        return _ANYWHERE[key]
    elif key == "click" or key in _WHEEL:
        return state.take_up(_point(key, state, snapshot, target), now)
    else:
        state.message, state.clicked = "", None
        return _pressed(key, state, snapshot, now)
    return None


def _pressed(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Pass the key to the open question, command or filter. If none is open, act in the view."""
    if state.question is not None:
        return _answer(key, state, now)
    if state.command is not None:
        return command_line.edit(key, state, snapshot)
    if state.typing:
        _type(key, state)
        return None
    return state.take_up(_in_view(_ALIASES.get(key, key), state, snapshot), now)


def _answer(key: str, state: ScreenState, now: float) -> Action | None:
    """Answer the open question. While its jobs are being counted, only esc, n, N and q close it."""
    question = state.question
    assert question is not None
    if question.counts is not None:
        if key not in ("esc", "n", "N", "q"):
            return None
        state.question = None
        return STOP_COUNT
    state.question = None
    if key in question.answers:
        return question.answers[key]
    state.show_message("nothing was changed", now)
    return None


def _type(key: str, state: ScreenState) -> None:
    """Change the filter or, in a detail, the text to find."""
    state.typing = key not in ("enter", "esc", "ctrl-c")
    text = "" if key in ("esc", "ctrl-c") else command_line.typed(key, state.typed)
    if state.detail is None:
        state.filter = text
    elif text != state.detail.sought:
        state.detail.sought, state.detail.match, state.detail.jump = text, -1, 1


def _in_view(key: str, state: ScreenState, snapshot: Snapshot) -> Result | None:
    """Handle a key while nothing is being typed. It acts on panes, a list of jobs, or a detail."""
    known = _BY_NAME.get(key)
    if known is None or known.act is None:
        return None
    # The key : opens the command line even then, so that the typed command does not act as keys.
    if known.changes and state.read_only and key != ":":
        return command_line.READ_ONLY
    return known.act(key, state, snapshot)


# what is shown


def _page(name: str) -> Callable[[str, ScreenState, Snapshot], None]:
    """Return the function of a key that opens PROBLEMS or HELP over other details, or closes it."""

    def act(_: str, state: ScreenState, __: Snapshot) -> None:
        detail = state.detail
        closes = detail is not None and detail.pane == name
        state.detail = detail.behind if detail and closes else Detail(name, behind=detail)

    return act


def _next(key: str, state: ScreenState, snapshot: Snapshot) -> None:
    """Close an open detail. Otherwise focus the next or previous pane. In a list of jobs, go to the
    next or previous status that has jobs; one of the choices is all jobs."""
    jobs, step = state.jobs, _STEPS[key]
    if state.detail is not None:
        state.detail = state.detail.behind
    elif jobs is not None:
        found = counts(jobs, snapshot)
        choices = ["", *(one for one in jobs.statuses() if found[one] or one == jobs.status)]
        status = choices[(choices.index(jobs.status) + step) % len(choices)]
        jobs.restart(status=status, text=jobs.text)
    else:
        names = list(PANES)
        name = names[(names.index(state.pane) + step) % len(names)]
        selection.focus(name, state, snapshot)


def _move(key: str, state: ScreenState, snapshot: Snapshot) -> None:
    """Scroll the detail, or move the selection."""
    step = _MOVES.get(key) or _WHEEL.get(key) or state.page * (1 if key == "page down" else -1)
    if state.detail is None:
        selection.move(step, state, snapshot)
    else:
        state.detail.scroll = max(0, state.detail.scroll + step)
        state.detail.at_end = key == "end"


def _back(key: str, state: ScreenState, snapshot: Snapshot) -> Result | None:
    """Close what is open. The key q keeps the filter; if nothing is open, it closes the screen or,
    in the pool's own dashboard, acts as the key D."""
    detail, jobs, esc = state.detail, state.jobs, key == "esc"
    if esc and state.progress:
        return STOP
    if detail is not None and esc and detail.sought:
        detail.sought = ""
    elif detail is not None:
        state.detail = detail.behind
    elif esc and state.filter:
        state.filter = ""
    elif jobs is not None:
        state.filter, state.jobs = jobs.outer_filter, None
    elif esc:
        state.zoomed = False
    else:
        return _in_view("D", state, snapshot) if state.own else LEAVE
    return None


def _enter(_: str, state: ScreenState, snapshot: Snapshot) -> Action | None:
    if state.detail is None:
        return _open(state, snapshot)
    state.detail = state.detail.behind
    return None


def _open(state: ScreenState, snapshot: Snapshot) -> Action | None:
    """Show the selected row in full. Returns an action that fetches what the snapshot lacks."""
    row = chosen(state, snapshot)
    if row is None:
        return None
    if isinstance(row, (QueueView, LimitStatus)):
        jobs = JobList(queue=row.queue) if isinstance(row, QueueView) else JobList(limit=row.key)
        jobs.key, jobs.outer_filter = pane_of(state).key(row), state.filter
        state.filter, state.jobs = "", jobs
        state.chosen.pop(JOBS_PANE.name, None)
        state.orders.pop(JOBS_PANE.name, None)  # a new list has the order of the engine
        return None
    detail = state.detail = Detail(pane_of(state).name, pane_of(state).key(row))
    if isinstance(row, JobView):
        detail.job = row
    pid = row.pid if isinstance(row, WorkerView) else 0
    detail.waits = isinstance(row, (FailureView, JobView)) or bool(pid)
    return Action("show", row.id, pid) if detail.waits else None


def _open_outer(_: str, state: ScreenState, __: Snapshot) -> None:
    """Show the queue or limit whose jobs are listed."""
    if state.detail is None and state.jobs is not None:
        state.detail = Detail(state.pane, state.jobs.key)


def _follow_log(_: str, state: ScreenState, snapshot: Snapshot) -> Result | None:
    """Show the selected worker or job with the last lines of the log about it, and follow them."""
    row = chosen(state, snapshot)
    if isinstance(row, WorkerView):
        follows = LineFilter(row.slot)
    elif isinstance(row, (FailureView, JobView)):
        follows = LineFilter(job=row.id)
    else:
        return "L follows the log of a worker or a job: select one"
    action = _open(state, snapshot) if state.detail is None else None
    if state.detail is not None:
        state.detail.follows, state.detail.at_end = follows, True
    return action


def _filter(_: str, state: ScreenState, __: Snapshot) -> None:
    state.typing = True


def _jump(key: str, state: ScreenState, _: Snapshot) -> None:
    if state.detail is not None:
        state.detail.jump += 1 if key == "n" else -1


def _sort(key: str, state: ScreenState, _: Snapshot) -> Result | None:
    if state.detail is not None:
        return None
    return selection.next_order(state) if key == "s" else selection.reverse_order(state)


def _zoom(_: str, state: ScreenState, __: Snapshot) -> None:
    if state.detail is None and state.jobs is None:
        state.zoomed = not state.zoomed


def _on_row(key: str, state: ScreenState, snapshot: Snapshot) -> Result:
    """Act on the selected row."""
    for one in row_keys(chosen(state, snapshot)):
        if one.key == key and one.act is not None:
            return one.act()
    return f"{key} acts on {_BY_NAME[key].on}: select one with tab and the arrows"


def _scale(key: str, _: ScreenState, __: Snapshot) -> Action:
    return Action("scale", f"{key}1")


# the mouse


def _point(
    key: str, state: ScreenState, snapshot: Snapshot, target: Target | None
) -> Result | None:
    """Handle a click or the wheel; neither does anything while a question or an input is open."""
    clicked, state.clicked = state.clicked, None
    if state.question is not None or state.command is not None or state.typing:
        return None
    focused = target is not None and target.pane == pane_of(state).name
    if state.detail is not None:
        if key in _WHEEL:
            _move(key, state, snapshot)
    elif target is not None and target.pane == PROBLEMS and key == "click":
        _in_view("!", state, snapshot)
    elif target is None or not _takes_focus(target.pane, state, snapshot):
        return None
    elif key in _WHEEL:
        _move(key, state, snapshot)
    elif target.key:
        state.chosen[target.pane] = target.key
        if clicked == (target.pane, target.key):
            return _open(state, snapshot)
        state.clicked = target.pane, target.key
    elif focused and target.column in pane_of(state).sorts:
        selection.order_by(target.column, state)
    return None


def _takes_focus(pane: str, state: ScreenState, snapshot: Snapshot) -> bool:
    """Give the focus to a pane, unless a list of jobs is open. Returns whether it has the focus."""
    if state.jobs is None and pane in PANES:
        selection.focus(pane, state, snapshot)
    return pane_of(state).name == pane


# all keys


class Key(NamedTuple):
    """One or more keys with the same function, `act`. `what`: what they do, in words. `short`: the
    same for the last line of the screen, which omits the key of the highest `rank` first.
    `changes`: whether the keys change the pool, its queues or its jobs. `on`: the kinds of rows on
    which the keys act, in words; "" if they act on no row."""

    keys: str
    what: str
    act: Callable[[str, ScreenState, Snapshot], Result | None] | None
    short: str = ""
    rank: int = 20
    changes: bool = False
    on: str = ""


def _row_key(key: str, what: str, on: str) -> Key:
    return Key(key, what, _on_row, changes=True, on=on)


KEYS = (
    Key("?", "this help", _page(HELP), "help", 0),
    Key("tab, shift-tab", "the next or previous pane; in a list of jobs, state", _next, "pane", 5),
    Key("up, down, j, k", "select a row", _move),
    Key("page up, page down, home, end", "jump a page, or to the first or last row", _move),
    Key("enter", "the jobs of a queue or limit; details of any other row", _enter, "open", 3),
    Key("i", "in a list of jobs: details of its queue or limit", _open_outer),
    Key("!", "all problems in full, as a click on one of them does", _page(PROBLEMS)),
    Key("L", "follow the log of the selected worker or job", _follow_log),
    Key("esc", "go back, remove the filter, or stop an act on many jobs", _back),
    Key("/", "show only rows that contain some text; in details, find some text", _filter,
        "filter", 7),
    Key("n, N", "in details: the next or previous line that contains the text", _jump),
    Key("s, S", "sort the pane by its next column, or reverse the order", _sort, "sort", 19),
    Key(":", "type a command of poolq, such as ':scale 8'; tab completes names",
        lambda *_: CommandLine(), "command", 6, changes=True),
    Key("z", "give the pane the whole screen, or take it back", _zoom, "zoom", 21),
    _row_key("p", "pause or resume the selected queue", "a queue"),
    _row_key("r", "put the selected failed job back into its queue", "a failed job"),
    _row_key("A", "retry or forget all failures of the selected kind of job or queue; asks",
             "a failed job, or a queue or kind with failures"),
    _row_key("X", "permanently delete: forget a failed job, cancel any other one, purge a queue;"
             " asks", "a job or a queue"),
    _row_key("m", "move the selected failed or waiting job to another queue",
             "a failed or waiting job"),
    _row_key("K", "kill the selected worker; asks whether its job is cancelled or given back",
             "a worker that runs a job"),
    Key("+, -", "add or remove a worker", _scale, "workers", 28, changes=True),
    Key("R", "reload the application's code; asks first", lambda *_: questions.RELOAD, "reload", 29,
        changes=True),
    Key("D", "drain: finish running jobs and end; asks first", lambda *_: questions.DRAIN,
        "drain and stop", 1, changes=True),
    Key("q", "quit; in the dashboard of 'poolq run', do the same as D", _back, "leave", 2),
    Key("ctrl-l", "redraw the screen", None),
    Key("ctrl-z", "suspend; 'fg' resumes", None),
)  # fmt: skip
_BY_NAME = {name: key for key in KEYS for name in key.keys.split(", ")}
