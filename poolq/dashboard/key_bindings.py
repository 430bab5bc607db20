"""Handles keys (pure). Each key changes the state of the screen, or returns an action.

Actions that cannot be undone ask for confirmation; any key but y declines. `actions.py` carries out
actions; the loop itself handles leave, suspend and redraw.
"""

from typing import Any

from poolq.dashboard.drawing.table import Pane
from poolq.dashboard.job_list import JobList, JobView
from poolq.dashboard.panes import PANES
from poolq.dashboard.panes.jobs import JOBS_PANE
from poolq.dashboard.screen_state import Action, Detail, LogRequest, Question, ScreenState
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.snapshot import FailureView, QueueView, Snapshot, WorkerView
from poolq.monitor.wait_reasons import WAITING

DRAIN_QUESTION = Question("End the pool when its running jobs have finished?", Action("drain"))
LEAVE, SUSPEND, REDRAW = Action("leave"), Action("suspend"), Action("redraw")
_MOVES = {"j": 1, "down": 1, "k": -1, "up": -1, "page down": 10, "page up": -10,
          "home": -(10**9), "end": 10**9, "g": -(10**9), "G": 10**9}  # fmt: skip
_ACTION_KEYS = ("p", "r", "+", "-", "=", "R", "D", "X")


def press(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Handle a key and return the action to carry out, if any. `now` is in monotonic seconds."""
    if key.startswith("paste "):
        state.pasting = key == "paste begins"
        return None
    if state.pasting:  # pasted text is never a command, but it may be a filter
        if state.typing and len(key) == 1:
            _type(key, state)
        return None
    if key == "ctrl-z":
        return SUSPEND
    if key == "ctrl-l":
        return REDRAW
    state.message = ""
    return _pressed(key, state, snapshot, now)


def _pressed(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Pass the key to what is open: a question, a filter, the help or a detail; or to the lists."""
    if state.question is not None:
        question, state.question = state.question, None
        if key in ("y", "Y"):
            return question.action
        state.show_message("cancelled", now)
        return None
    if state.typing:
        _type(key, state)
        return None
    if state.help and key in _MOVES:
        state.scroll = max(0, state.scroll + _MOVES[key])
        return None
    if state.help:
        state.help, state.scroll = False, 0
        return None if key in ("?", "esc", "q", "enter") else _pressed(key, state, snapshot, now)
    if key == "L":
        return _follow_log(state, snapshot, now)
    if key in _ACTION_KEYS:
        return _press_action(key, state, snapshot, now)
    if state.detail is not None:
        _in_detail(key, state.detail, state)
        return None
    if state.jobs is not None:
        return _in_jobs(key, state.jobs, state, snapshot)
    return _in_lists(key, state, snapshot)


def _type(key: str, state: ScreenState) -> None:
    if key == "enter":
        state.typing = False
    elif key in ("esc", "ctrl-c"):
        state.typing, state.filter = False, ""
    elif key == "backspace":
        state.filter = state.filter[:-1]
    elif key == "ctrl-u":
        state.filter = ""
    elif len(key) == 1:
        state.filter += key


def _in_detail(key: str, detail: Detail, state: ScreenState) -> None:
    if key in _MOVES:
        detail.scroll = max(0, detail.scroll + _MOVES[key])
        detail.at_end = key in ("end", "G")
    elif key == "?":
        state.help = True
    elif key in ("esc", "enter", "q", "backspace", "left", "tab"):
        state.detail = None


def _in_jobs(key: str, jobs: JobList, state: ScreenState, snapshot: Snapshot) -> Action | None:
    if key in _MOVES:
        _move(_MOVES[key], state, snapshot)
    elif key == "enter":
        return _open(state, snapshot)
    elif key == "/":
        state.typing = True
    elif key == "?":
        state.help = True
    elif key == "i":
        state.detail = Detail(state.pane, jobs.key)
    elif key == "esc" and state.filter:
        state.filter = ""
    elif key in ("esc", "q", "backspace", "left"):
        state.filter, state.jobs = jobs.outer_filter, None
    return None


def _in_lists(key: str, state: ScreenState, snapshot: Snapshot) -> Action | None:
    names = list(PANES)
    if key in _MOVES:
        _move(_MOVES[key], state, snapshot)
    elif key in ("tab", "right", "shift-tab", "left"):
        step = 1 if key in ("tab", "right") else -1
        state.pane = names[(names.index(state.pane) + step) % len(names)]
        _move(0, state, snapshot)  # the selection stays on this row, even if the row moves
    elif key == "enter":
        return _open(state, snapshot)
    elif key == "/":
        state.typing = True
    elif key == "esc":
        state.filter = ""
    elif key == "?":
        state.help = True
    elif key == "q":
        return _quit(state)
    return None


def _move(by: int, state: ScreenState, snapshot: Snapshot) -> None:
    pane = pane_of(state)
    rows = pane.shown(snapshot, state)
    if rows:
        at = min(max(0, pane.position(rows, state) + by), len(rows) - 1)
        state.chosen[pane.name] = pane.key(rows[at])


def pane_of(state: ScreenState) -> Pane:
    """Return the pane that has the keys."""
    return PANES[state.pane] if state.jobs is None else JOBS_PANE


def chosen(state: ScreenState, snapshot: Snapshot) -> Any:
    """Return the selected row, or None if there is none."""
    detail = state.detail
    if detail is not None and detail.shows_job and detail.job is not None:
        return detail.job
    if detail is not None:
        pane = PANES[detail.pane]
        rows = pane.rows(snapshot)
        return next((row for row in rows if pane.key(row) == detail.key), None)
    pane = pane_of(state)
    rows = pane.shown(snapshot, state)
    return rows[pane.position(rows, state)] if rows else None


def _open(state: ScreenState, snapshot: Snapshot) -> Action | None:
    """Show the selected row in full. Returns an action that fetches what the snapshot lacks."""
    row = chosen(state, snapshot)
    if row is None:
        return None
    if isinstance(row, QueueView):
        _list_jobs(JobList(queue=row.queue, key=row.queue), state)
        return None
    if isinstance(row, LimitStatus):
        _list_jobs(JobList(limit=row.key, key=PANES["limits"].key(row)), state)
        return None
    state.detail = Detail(pane_of(state).name, pane_of(state).key(row))
    if isinstance(row, JobView):
        state.detail.job, state.detail.skew = row, state.jobs.skew if state.jobs else 0.0
        state.detail.waits = True
        return Action("show", row.id)
    if isinstance(row, WorkerView):
        state.detail.waits = bool(row.pid)
        return Action("show", row.id, row.pid) if row.pid else None
    if isinstance(row, FailureView):
        state.detail.waits = True
        return Action("show", row.id)
    return None


def _list_jobs(jobs: JobList, state: ScreenState) -> None:
    """Open a list with its first job selected and without a filter."""
    jobs.outer_filter, state.filter, state.jobs = state.filter, "", jobs
    state.chosen.pop(JOBS_PANE.name, None)


def _follow_log(state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Show the selected worker or job with the last lines of the log about it, and follow them."""
    row = chosen(state, snapshot)
    follows = LogRequest(row.slot) if isinstance(row, WorkerView) else None
    if isinstance(row, (FailureView, JobView)):
        follows = LogRequest(job=row.id)
    if follows is None:
        state.show_message("L follows the log of a worker or a job: select one", now, "warning")
        return None
    action = _open(state, snapshot) if state.detail is None else None
    if state.detail is not None:
        state.detail.follows, state.detail.at_end = follows, True
    return action


def _quit(state: ScreenState) -> Action | None:
    if not state.own:
        return LEAVE
    if state.read_only:
        return None
    state.question = DRAIN_QUESTION
    return None


def _press_action(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    if state.read_only:
        state.show_message("this screen is read-only (--read-only)", now, "warning")
        return None
    if key in ("+", "=", "-"):
        return Action("scale", by=-1 if key == "-" else 1)
    if key == "R":
        state.question = Question("Reload the application's code?", Action("reload"))
    elif key == "D":
        state.question = DRAIN_QUESTION
    else:
        return _on_row(key, chosen(state, snapshot), state, now)
    return None


def _on_row(key: str, row: object, state: ScreenState, now: float) -> Action | None:
    if key == "p":
        if isinstance(row, QueueView):
            return Action("resume" if row.paused else "pause", row.queue)
        state.show_message("p acts on a queue: select one with tab and the arrows", now, "warning")
    elif isinstance(row, FailureView) or (
        isinstance(row, JobView) and row.stored.status == "failed"
    ):
        if key == "r":
            return Action("retry", row.id)
        text = f"Forget failed job {row.job} {row.id} permanently?"
        state.question = Question(text, Action("forget", row.id))
    elif key == "X" and isinstance(row, JobView) and row.stored.status in WAITING:
        text = f"Cancel job {row.job} {row.id}, which has not started, permanently?"
        state.question = Question(text, Action("cancel", row.id))
    else:
        text = f"{key} acts on a failed job: select one with tab and the arrows"
        state.show_message(text, now, "warning")
    return None
