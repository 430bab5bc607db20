"""The command line, which the key : opens (pure). It takes any command of poolq, without the word
`poolq`, completes names with tab, and remembers earlier commands. `foreground.py` runs commands.
"""

import re
import shlex
from collections.abc import Sequence

from poolq.dashboard.screen_state import Action, CommandLine, ScreenState
from poolq.monitor.snapshot import Snapshot

READ_ONLY = "this screen is read-only (--read-only)"
MAX_HISTORY = 100
MAX_OFFERS = 50


def edit(key: str, state: ScreenState, snapshot: Snapshot) -> Action | None:
    """Handle a key in the command line that is open. Returns the action to carry out, if any."""
    line = state.command
    assert line is not None
    line.offers, line.error = (), READ_ONLY * state.read_only
    if key == "enter":
        return _enter(line, state)
    if key == "tab":
        _complete(line, state, snapshot)
    elif key in ("up", "down"):
        _recall(line, state.history, 1 if key == "up" else -1)
    elif key in ("esc", "ctrl-c") or (key == "backspace" and not line.text):
        state.command = None
    else:
        line.text = typed(key, line.text)
    return None


def typed(key: str, text: str) -> str:
    """Return what a key makes of a text that is being typed."""
    if key == "ctrl-w":
        text = text.rstrip().rpartition(" ")[0]
        return text + " " * bool(text)
    if key in ("backspace", "ctrl-u"):
        return text[:-1] if key == "backspace" else ""
    return text + key * (len(key) == 1)


def _enter(line: CommandLine, state: ScreenState) -> Action | None:
    text = line.text.strip()
    if text and state.read_only:
        return None
    try:
        words = shlex.split(text)
    except ValueError:
        line.error = "a quotation mark is not closed"
        return None
    state.command = None
    if not words:
        return None
    others = [one for one in state.history if one != text]
    state.history[:] = [*others[1 - MAX_HISTORY :], text]
    return Action("run", text)


def _recall(line: CommandLine, history: Sequence[str], by: int) -> None:
    """Go back or forth in the history; after its end comes the text that was typed first."""
    if line.back == 0:
        line.draft = line.text
    line.back = min(max(0, line.back + by), len(history))
    line.text = history[-line.back] if line.back else line.draft


def _common_start(words: Sequence[str]) -> str:
    """Return the characters with which all words begin."""
    start = min(words, default="")
    while not all(word.startswith(start) for word in words):
        start = start[:-1]
    return start


def _complete(line: CommandLine, state: ScreenState, snapshot: Snapshot) -> None:
    """Complete the last word, or the value of an option: add what all names that begin with it have
    in common. If several names do, show them."""
    word = re.split("[ =]", line.text)[-1]
    found = [name for name in _names(state, snapshot) if name.startswith(word)]
    rest = _common_start(found)[len(word) :]
    line.text += rest + " " * (len(found) == 1)
    line.offers = tuple(found[:MAX_OFFERS]) if len(found) > 1 else ()


def _names(state: ScreenState, snapshot: Snapshot) -> list[str]:
    """Return the names and ids that the screen knows, without those that have spaces."""
    found = [*(one.queue for one in snapshot.queues), *(one.key for one in snapshot.limits)]
    found += [one.name for one in snapshot.schedules]
    for row in (*snapshot.failures, *snapshot.workers, *(state.jobs.jobs if state.jobs else ())):
        found += (row.job, row.id)
    return sorted({name for name in found if name and " " not in name})
