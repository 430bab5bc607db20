"""The command line, which the key : opens (pure). It edits the text, completes words with tab, and
remembers earlier commands. A command with a mistake stays on the line, with one sentence that says
what is wrong. `commands.py` carries out commands.
"""

import os
from collections.abc import Iterable, Sequence

from poolq.dashboard import questions
from poolq.dashboard.commands import COMMANDS, CommandSpec, run
from poolq.dashboard.screen_state import Action, CommandLine, ScreenState
from poolq.errors import PoolqError
from poolq.monitor.snapshot import Snapshot

READ_ONLY = "this screen is read-only (--read-only)"
MAX_HISTORY = 100
MAX_OFFERS = 50


def edit(key: str, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Handle a key in the command line that is open. Returns the action to carry out, if any."""
    line = state.command
    assert line is not None
    if key == "tab":
        _complete(line, state, snapshot)
        return None
    line.offers, line.offered, line.error = (), -1, READ_ONLY * state.read_only
    if key == "enter":
        return _enter(line, state, snapshot, now)
    if key in ("up", "down"):
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


def _enter(line: CommandLine, state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    text = line.text.strip()
    if not text:
        state.command = None
        return None
    if state.read_only:
        return None
    try:
        result = run(text, snapshot)
    except PoolqError as mistake:
        line.error = str(mistake)
        return None
    state.command = None
    others = [one for one in state.history if one != text]
    state.history[:] = [*others[1 - MAX_HISTORY :], text]
    return state.take_up(result, now)


def _recall(line: CommandLine, history: Sequence[str], by: int) -> None:
    """Go back or forth in the history; after its end comes the text that was typed first."""
    if line.back == 0:
        line.draft = line.text
    line.back = min(max(0, line.back + by), len(history))
    line.text = history[-line.back] if line.back else line.draft


# completion


def _complete(line: CommandLine, state: ScreenState, snapshot: Snapshot) -> None:
    """Complete the last word as far as all offers agree; then choose each offer in turn."""
    start, _, word = line.text.rpartition(" ")
    start += " " * (len(line.text) > len(word))
    if line.offers:
        line.offered = (line.offered + 1) % len(line.offers)
        line.text = start + line.offers[line.offered]
        return
    found = offers(line.text, state, snapshot)
    if len(found) == 1:
        line.text = f"{start}{found[0]} "
    elif found:
        line.offers = tuple(found)
        line.text = start + os.path.commonprefix(found)  # noqa: RUF071  # words, not paths


def offers(text: str, state: ScreenState, snapshot: Snapshot) -> list[str]:
    """Return the words that may stand in place of the last word of the text."""
    *before, word = text.lstrip().split(" ")
    before = [one for one in before if one]
    if not before:
        known: Iterable[str] = COMMANDS
    else:
        command = COMMANDS.get(before[0])
        known = _offered(command, before[1:], word, state, snapshot) if command else ()
    return sorted(dict.fromkeys(one for one in known if one.startswith(word)))[:MAX_OFFERS]


def _offered(
    command: CommandSpec, before: list[str], word: str, state: ScreenState, snapshot: Snapshot
) -> Iterable[str]:
    if word.startswith("-"):
        return [one for one in command.options if one not in before]
    last = before[-1] if before else ""
    if command.options.get(last):
        return _known(command.options[last], state, snapshot)
    at, skip = 0, False
    for one in before:
        at += not skip and not one.startswith("-")
        skip = bool(command.options.get(one))
    return _known(command.words[at], state, snapshot) if at < len(command.words) else ()


def _known(kind: str, state: ScreenState, snapshot: Snapshot) -> list[str]:
    """Return the names of a kind that the screen knows, without those that have spaces."""
    running = [one for one in snapshot.workers if one.id]
    listed = state.jobs.jobs if state.jobs else []
    names = {
        "queue": [one.queue for one in snapshot.queues],
        "job": [*(one.job for one in snapshot.failures), *(one.job for one in running)],
        "error": [questions.error_kind(one.error) for one in snapshot.failures],
        "id": [*(one.id for one in listed), *(one.id for one in snapshot.failures)],
        "limit": [one.key for one in snapshot.limits],
        "worker": [str(one.slot) for one in running],
    }
    return [one for one in names.get(kind, ()) if " " not in one]
