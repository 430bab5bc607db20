"""Handles keys and the mouse (pure). Each changes the state of the screen, or returns an action.

Actions that cannot be undone ask for confirmation. `actions.py` carries out actions; the loop
itself handles leave, suspend, redraw and stop. `command_line.py` handles the keys of a
command.
"""

from collections.abc import Callable

from poolq.dashboard import command_line, questions, selection
from poolq.dashboard.drawing.targets import Target
from poolq.dashboard.job_list import JobList, JobView, counts
from poolq.dashboard.key_help import KEY_HELP
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
STOP_BULK, STOP_COUNT = Action("stop", "bulk"), Action("stop", "count")
WHEEL_ROWS = 3
_MOVES = {"j": 1, "down": 1, "k": -1, "up": -1, "page down": 0, "page up": 0,
          "home": -(10**9), "end": 10**9, "g": -(10**9), "G": 10**9}  # fmt: skip
_PAGES = {"page down": 1, "page up": -1}
_SORTS = {"s": selection.next_order, "S": selection.reverse_order}
_STEPS = {"tab": 1, "right": 1, "shift-tab": -1, "left": -1}
_MORE, _FEWER = Action("scale", "+1"), Action("scale", "-1")
_POOL_KEYS: dict[str, Callable[[], Result]] = {
    "+": lambda: _MORE, "=": lambda: _MORE, "-": lambda: _FEWER, ":": CommandLine,
    "R": lambda: questions.RELOAD, "D": lambda: questions.DRAIN,
}  # fmt: skip
_PAGES_OF = {"!": PROBLEMS, "?": HELP}
#: The keys that act on a row, and where there are such rows.
_ROW_KEYS = {key.keys: key.on for key in KEY_HELP if key.on}


def press(
    key: str, state: ScreenState, snapshot: Snapshot, now: float, target: Target | None = None
) -> Action | None:
    """Handle a key and return the action to carry out, if any. `now` is in monotonic seconds;
    `target` is what the mouse points at."""
    if key.startswith("paste "):
        state.pasting = key == "paste begins"
        return None
    if state.pasting:  # pasted text is never a command, but it may be a part of one, or a filter
        if len(key) == 1 and state.question is None:
            _paste(key, state)
        return None
    if key == "ctrl-z":
        return SUSPEND
    if key == "ctrl-l":
        return REDRAW
    if key in ("click", "wheel up", "wheel down"):
        return _point(key, state, snapshot, target)
    state.message, state.clicked = "", None
    return _pressed(key, state, snapshot, now)


def _paste(key: str, state: ScreenState) -> None:
    if state.command is not None:
        state.command.text += key
    elif state.typing:
        _type(key, state)


def _pressed(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Pass the key to what is open: a question, a command or a filter; or to what is below."""
    if state.question is not None:
        return _answer(key, state, now)
    if state.command is not None:
        return command_line.edit(key, state, snapshot, now)
    if state.typing:
        _type(key, state)
        return None
    return _in_view(key, state, snapshot, now)


def _show(page: str, state: ScreenState) -> None:
    """Show the problems or the help in front of what is open, or close the page."""
    detail = state.detail
    if detail is not None and detail.pane == page:
        state.detail = detail.behind
    else:
        state.detail = Detail(page, behind=detail)


def _step(key: str, state: ScreenState) -> int:
    """Return by how many lines or rows one of _MOVES moves."""
    return _MOVES[key] or _PAGES[key] * state.page


def _in_view(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Handle a key that acts or opens the command line, or pass it to the detail or list."""
    if key == "esc" and state.progress:
        return STOP_BULK
    if key == "L":
        return _follow_log(state, snapshot, now)
    if key in _POOL_KEYS or key in _ROW_KEYS:
        return _press_action(key, state, snapshot, now)
    if key in _PAGES_OF:
        _show(_PAGES_OF[key], state)
    elif key == "/":
        state.typing = True
    elif state.detail is not None:
        _in_detail(key, state.detail, state)
    else:
        return _in_rows(key, state, snapshot, now)
    return None


def _answer(key: str, state: ScreenState, now: float) -> Action | None:
    """Answer the open question. While its jobs are being counted, only esc closes it."""
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


def _in_detail(key: str, detail: Detail, state: ScreenState) -> None:
    if key in _MOVES:
        detail.scroll = max(0, detail.scroll + _step(key, state))
        detail.at_end = key in ("end", "G")
    elif key in ("n", "N"):
        detail.jump += 1 if key == "n" else -1
    elif key == "esc" and detail.sought:
        detail.sought = ""
    elif key in ("esc", "enter", "q", "backspace", "left", "tab"):
        state.detail = detail.behind


def _in_rows(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Handle a key in the panes, or in the list of jobs that is open."""
    jobs = state.jobs
    if key in _MOVES:
        selection.move(_step(key, state), state, snapshot)
    elif key == "enter":
        return _open(state, snapshot)
    elif key in _SORTS:
        state.show_message(_SORTS[key](state), now)
    elif key == "esc" and state.filter:
        state.filter = ""
    elif jobs is not None:
        _in_jobs(key, jobs, state, snapshot)
    elif key in _STEPS:
        names = list(PANES)
        name = names[(names.index(state.pane) + _STEPS[key]) % len(names)]
        selection.focus(name, state, snapshot)
    elif key == "z" or (key == "esc" and state.zoomed):
        state.zoomed = not state.zoomed
    elif key == "q":
        return _press_action("D", state, snapshot, now) if state.own else LEAVE
    return None


def _in_jobs(key: str, jobs: JobList, state: ScreenState, snapshot: Snapshot) -> None:
    if key == "i":
        state.detail = Detail(state.pane, jobs.key)
    elif key in _STEPS:
        _next_status(jobs, snapshot, _STEPS[key])
    elif key in ("esc", "q", "backspace"):
        state.filter, state.jobs = jobs.outer_filter, None


def _next_status(jobs: JobList, snapshot: Snapshot, step: int) -> None:
    """List the jobs of the next status that there are, or of all statuses."""
    found = counts(jobs, snapshot)
    choices = ["", *(one for one in jobs.statuses() if found[one] or one == jobs.status)]
    status = choices[(choices.index(jobs.status) + step) % len(choices)]
    jobs.restart(status=status, text=jobs.text)


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
        state.orders.pop(JOBS_PANE.name, None)  # it begins in the order of the engine
        return None
    detail = state.detail = Detail(pane_of(state).name, pane_of(state).key(row))
    if isinstance(row, JobView):
        detail.job = row
    pid = row.pid if isinstance(row, WorkerView) else 0
    detail.waits = isinstance(row, (FailureView, JobView)) or bool(pid)
    return Action("show", row.id, pid) if detail.waits else None


def _follow_log(state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Show the selected worker or job with the last lines of the log about it, and follow them."""
    row = chosen(state, snapshot)
    if isinstance(row, WorkerView):
        follows = LineFilter(row.slot)
    elif isinstance(row, (FailureView, JobView)):
        follows = LineFilter(job=row.id)
    else:
        state.show_message("L follows the log of a worker or a job: select one", now, "warning")
        return None
    action = _open(state, snapshot) if state.detail is None else None
    if state.detail is not None:
        state.detail.follows, state.detail.at_end = follows, True
    return action


# the mouse


def _point(
    key: str, state: ScreenState, snapshot: Snapshot, target: Target | None
) -> Action | None:
    """Handle a click or the wheel. A question and what is being typed are left to the keys."""
    clicked, state.clicked = state.clicked, None
    if state.question is not None or state.command is not None or state.typing:
        return None
    focused = target is not None and target.pane == pane_of(state).name
    step = {"wheel up": -WHEEL_ROWS, "wheel down": WHEEL_ROWS}.get(key, 0)
    if state.detail is not None:
        state.detail.scroll = max(0, state.detail.scroll + step)
        state.detail.at_end = False
    elif target is not None and target.pane == PROBLEMS and not step:
        _show(PROBLEMS, state)
    elif target is None or not _takes_focus(target.pane, state, snapshot):
        return None
    elif step:
        selection.move(step, state, snapshot)
    elif target.key:
        state.chosen[target.pane] = target.key
        if clicked == (target.pane, target.key):
            return _open(state, snapshot)
        state.clicked = target.pane, target.key
    elif focused and target.column in pane_of(state).sorts:
        selection.order_by(target.column, state)
    return None


def _takes_focus(pane: str, state: ScreenState, snapshot: Snapshot) -> bool:
    """Give the focus to a pane, unless a list of jobs is open. Returns False for another pane."""
    if state.jobs is None and pane in PANES:
        selection.focus(pane, state, snapshot)
    return pane_of(state).name == pane


# actions


def _press_action(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    if state.read_only and key != ":":  # what is typed after it must not act as keys
        state.show_message(command_line.READ_ONLY, now, "warning")
        return None
    if key in _POOL_KEYS:
        return state.take_up(_POOL_KEYS[key](), now)
    for one in row_keys(chosen(state, snapshot)):
        if one.key == key and one.act is not None:
            return state.take_up(one.act(), now)
    text = f"{key} acts on {_ROW_KEYS[key]}: select one with tab and the arrows"
    state.show_message(text, now, "warning")
    return None
