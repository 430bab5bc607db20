"""What a key does (pure): it changes the state of the screen, or asks for an act.

Acts that cannot be undone ask first, and anything but y is a no. Carrying them out is
`actions.py`'s business, and suspending, redrawing and leaving the loop's.
"""

from typing import Any

from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import Act, Detail, Question, State
from poolq.monitor.snapshot import FailureView, QueueView, Snapshot, WorkerView

LEAVE, SUSPEND, REDRAW = Act("leave"), Act("suspend"), Act("redraw")
_MOVES = {"j": 1, "down": 1, "k": -1, "up": -1, "page down": 10, "page up": -10,
          "home": -(10**9), "end": 10**9, "g": -(10**9), "G": 10**9}  # fmt: skip
_ACTING = ("p", "r", "+", "-", "=", "R", "D", "X")


def press(key: str, state: State, snapshot: Snapshot, now: float) -> Act | None:
    """What is to be done now, if anything. `now`: monotonic seconds."""
    if key.startswith("paste "):
        state.pasting = key == "paste begins"
        return None
    if state.pasting:  # text that was meant for another window is no wish; a filter may be pasted
        if state.typing and len(key) == 1:
            _type(key, state)
        return None
    if key == "ctrl-z":
        return SUSPEND
    if key == "ctrl-l":
        return REDRAW
    state.message = ""
    return _pressed(key, state, snapshot, now)


def _pressed(key: str, state: State, snapshot: Snapshot, now: float) -> Act | None:
    """What comes first has the keys: a question, a filter that is typed, the help, a detail."""
    if state.question is not None:
        question, state.question = state.question, None
        if key in ("y", "Y"):
            return question.act
        state.say("nothing was done", now)
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
    if key in _ACTING:
        return _act(key, state, snapshot, now)
    if state.detail is not None:
        _in_detail(key, state.detail, state)
        return None
    return _in_lists(key, state, snapshot)


def _type(key: str, state: State) -> None:
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


def _in_detail(key: str, detail: Detail, state: State) -> None:
    if key in _MOVES:
        detail.scroll = max(0, detail.scroll + _MOVES[key])
    elif key == "?":
        state.help = True
    elif key in ("esc", "enter", "q", "backspace", "left", "tab"):
        state.detail = None


def _in_lists(key: str, state: State, snapshot: Snapshot) -> Act | None:
    names = list(PANES)
    if key in _MOVES:
        _move(_MOVES[key], state, snapshot)
    elif key in ("tab", "right", "shift-tab", "left"):
        step = 1 if key in ("tab", "right") else -1
        state.pane = names[(names.index(state.pane) + step) % len(names)]
        _move(0, state, snapshot)  # keys go on to be about this row, wherever it moves to
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


def _move(by: int, state: State, snapshot: Snapshot) -> None:
    pane = PANES[state.pane]
    rows = pane.shown(snapshot, state)
    if rows:
        at = min(max(0, pane.position(rows, state) + by), len(rows) - 1)
        state.chosen[pane.name] = pane.key(rows[at])


def chosen(state: State, snapshot: Snapshot) -> Any:
    """The row that keys are about; None: there is none."""
    pane = PANES[state.detail.pane if state.detail else state.pane]
    if state.detail is not None:
        rows = pane.rows(snapshot)
        return next((row for row in rows if pane.key(row) == state.detail.key), None)
    rows = pane.shown(snapshot, state)
    return rows[pane.position(rows, state)] if rows else None


def _open(state: State, snapshot: Snapshot) -> Act | None:
    """All of the chosen row; what a snapshot does not have is fetched."""
    row = chosen(state, snapshot)
    if row is None:
        return None
    state.detail = Detail(state.pane, PANES[state.pane].key(row))
    if isinstance(row, WorkerView):
        state.detail.waits = bool(row.pid)
        return Act("show", row.id, row.pid) if row.pid else None
    if isinstance(row, FailureView):
        state.detail.waits = True
        return Act("show", row.id)
    return None


def _quit(state: State) -> Act | None:
    if not state.own:
        return LEAVE
    if state.read_only:
        return None
    state.question = Question("End the pool, when its running jobs have finished?", Act("drain"))
    return None


def _act(key: str, state: State, snapshot: Snapshot, now: float) -> Act | None:
    if state.read_only:
        state.say("this screen only looks (--read-only)", now, "warning")
        return None
    if key in ("+", "=", "-"):
        return Act("scale", by=-1 if key == "-" else 1)
    if key == "R":
        state.question = Question("Load the application's code anew?", Act("reload"))
    elif key == "D":
        text = "End the pool, when its running jobs have finished?"
        state.question = Question(text, Act("drain"))
    else:
        return _on_row(key, chosen(state, snapshot), state, now)
    return None


def _on_row(key: str, row: object, state: State, now: float) -> Act | None:
    if key == "p":
        if isinstance(row, QueueView):
            return Act("resume" if row.paused else "pause", row.queue)
        state.say("p is for a queue: choose one with tab and the arrows", now, "warning")
    elif not isinstance(row, FailureView):
        state.say(f"{key} is for a failed job: choose one with tab and the arrows", now, "warning")
    elif key == "r":
        return Act("retry", row.id)
    else:
        text = f"Forget failed job {row.job} {row.id} for good?"
        state.question = Question(text, Act("forget", row.id))
    return None
