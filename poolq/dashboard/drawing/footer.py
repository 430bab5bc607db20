"""The last line: a question, a command or filter being typed, a message, or the keys that do
something now.

A question or message that needs more lines gets them, so that it can be read in full.
"""

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.gauges import Part, lay_out
from poolq.dashboard.key_bindings import KEYS
from poolq.dashboard.screen_state import CommandLine, ScreenState
from poolq.dashboard.selection import chosen, row_keys
from poolq.monitor.snapshot import PoolView, Snapshot
from poolq.styling.cells import Line, fit, full_line, tail, width_of, wrap, wrap_words
from poolq.styling.theme import PLAIN, Theme

HINT = "a command of poolq, such as 'scale 8' or 'queue pause mails'; tab completes names"
_ROW_RANK = 4  # the rank of keys that act on the selected row
TOO_SOON_SHOWN = 6.0  # seconds for which an ignored Ctrl-C is shown


def draw(
    state: ScreenState, theme: Theme, size: tuple[int, int], now: float, snapshot: Snapshot
) -> list[Line]:
    """Draw one or more lines. `size` is the number of columns and the maximum number of lines.
    While the pool drains, a hint about Ctrl-C replaces the hint of the key D."""
    if state.question is not None:
        end = f" {state.question.hint} "
        return _text(state.question.text, theme, theme.question, size, end)
    if state.command is not None:
        return _command(state.command, theme, size)
    if state.typing:
        return [_typed(f" /{state.typed}_", theme, size[0])]
    if state.progress:
        return _text(f"{state.progress}; esc stops", theme, theme.accent, size)
    if state.message and now < state.until and not (state.own and _too_soon(snapshot.head)):
        return _text(state.message, theme, theme.level(state.level), size)
    return [_keys(state, theme, size[0], snapshot)]


def _typed(text: str, theme: Theme, width: int) -> Line:
    return [Segment(tail(text, width, theme.cut), theme.strong)]


def _command(line: CommandLine, theme: Theme, size: tuple[int, int]) -> list[Line]:
    """Draw a command and, above it, its mistake, the completions, or a hint. If there is room for
    one line only, a mistake is shown instead of the command."""
    width, most = size
    hint = line.error or "  ".join(line.offers) or HINT
    style = theme.bad if line.error else theme.dim
    above = _text(hint, theme, style, (width, max(1, most - 1)))
    lines = [*above, _typed(f" :{line.text}_", theme, width)]
    return lines[:most] if line.error else lines[-most:]


def _text(
    text: str, theme: Theme, style: Style, size: tuple[int, int], end: str = ""
) -> list[Line]:
    """Wrap a text to `size`; `end` is always shown in full."""
    width, most = size
    room = max(1, width - 1)
    pieces = wrap_words(text, room)
    if width_of(pieces[-1]) + len(end) > room:
        pieces.append("")
    if len(pieces) > most:
        pieces = wrap(fit(text, max(0, most * room - len(end)), cut=theme.cut), room)
    pieces[-1] += end
    return [full_line(piece, width, style) for piece in pieces[:most]]


def _too_soon(head: PoolView) -> bool:
    return head.interrupt_ignored is not None and head.interrupt_ignored < TOO_SOON_SHOWN


def _interrupt_hint(head: PoolView) -> str:
    """Return what Ctrl-C does while the pool drains."""
    if _too_soon(head):
        return "too soon: press ctrl-c again to kill running jobs"
    return f"ctrl-c {'again' if head.interrupts else 'twice'}: kill running jobs"


def _words(state: ScreenState) -> dict[str, str]:
    """Return new words for the keys that now do something else than usual. The word "" hides a key
    that now does nothing, or only what another key does."""
    words = {"q": ""} if state.own else {}
    if state.detail is not None:
        return words | {"tab": "", "enter": "", "s": "", "z": "", "/": "find"}
    return words | ({"tab": "state"} if state.jobs is not None else {})


def _keys(state: ScreenState, theme: Theme, width: int, snapshot: Snapshot) -> Line:
    filtered = f"filter: {state.filter}" if state.filter and state.detail is None else ""
    parts = [Part(filtered, theme.warn)]
    words, may_change = _words(state), not state.read_only
    for key in KEYS:
        name = key.keys.partition(",")[0] if key.keys != "+, -" else "+/-"
        if name == "/":
            parts += [
                Part(f"{one.key} {one.word}", PLAIN, _ROW_RANK)
                for one in row_keys(chosen(state, snapshot))
                if may_change or one.act is None
            ]
        word = words.get(name, key.short)
        if name == "D" and snapshot.head.state == "draining":
            hint = _interrupt_hint(snapshot.head) * state.own
            parts.append(Part(hint * may_change, theme.warn, key.rank))
        elif word and (may_change or not key.changes):
            parts.append(Part(f"{name} {word}", theme.dim, key.rank))
    return lay_out(parts, width, None if may_change else Part("read-only", theme.dim, 30))
