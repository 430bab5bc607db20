"""The last line: a question, the filter being typed, a message, or the keys.

A question or message that needs more lines gets them, so that it can be read in full.
"""

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.cells import Line, clean, fit, tail, width_of, wrap
from poolq.dashboard.drawing.parts import Part, lay_out
from poolq.dashboard.drawing.theme import Theme
from poolq.dashboard.keys import KEY_HELP
from poolq.dashboard.screen_state import ScreenState
from poolq.monitor.snapshot import PoolView

#: The ranks of keys; if the last line is too short, the key of the highest rank is omitted first.
_RANKS = {"?": 0, "D": 1, "q": 2, "tab": 3, "enter": 4, "/": 5}
_PANES_OF_KEY = {"p": ("queues",), "r": ("failures",), "X": ("failures",)}
ANSWERS = " y/N "
TOO_SOON_SHOWN = 6.0  # seconds for which an ignored Ctrl-C is shown


def draw(
    state: ScreenState, theme: Theme, size: tuple[int, int], now: float, head: PoolView
) -> list[Line]:
    """Draw one or more lines. `size` is the number of columns and the maximum number of lines.
    While the pool drains, another hint replaces that of the key D."""
    width, _ = size
    if state.question is not None:
        return _text(state.question.text, theme, theme.question, size, ANSWERS)
    if state.typing:
        text = clean(f" /{state.filter}_", ascii_only=theme.ascii_only)
        return [[Segment(tail(text, width, theme.cut), theme.strong)]]
    if state.message and now < state.until:
        return _text(state.message, theme, theme.level(state.level), size)
    return [_keys(state, theme, width, head)]


def _text(
    text: str, theme: Theme, style: Style, size: tuple[int, int], end: str = ""
) -> list[Line]:
    """Wrap a text to `size`; `end` is always shown in full."""
    width, most = size
    text, room = clean(text, ascii_only=theme.ascii_only), max(1, width - 1)
    pieces = wrap(text, room)
    if width_of(pieces[-1]) + len(end) > room:
        pieces.append("")
    if len(pieces) > most:
        pieces = wrap(fit(text, max(0, most * room - len(end)), cut=theme.cut), room)
    pieces[-1] += end
    return [[Segment(fit(f" {piece}", width, cut=""), style)] for piece in pieces[:most]]


def _interrupt_hint(head: PoolView) -> str:
    """Return what Ctrl-C does while the pool drains."""
    if head.interrupt_ignored is not None and head.interrupt_ignored < TOO_SOON_SHOWN:
        return "too soon: press ctrl-c again to kill running jobs"
    return f"ctrl-c {'again' if head.interrupts else 'twice'}: kill running jobs"


def _keys(state: ScreenState, theme: Theme, width: int, head: PoolView) -> Line:
    text = clean(f"filter: {state.filter}", ascii_only=theme.ascii_only)
    parts = [Part(text, theme.warn)] if state.filter else []
    for number, key in enumerate(KEY_HELP):
        name = key.keys.partition(",")[0] if key.keys != "+, -" else "+/-"
        panes = _PANES_OF_KEY.get(name, (state.pane,))
        hidden = key.changes and (state.read_only or state.pane not in panes)
        if not key.short or hidden or (name == "q" and state.own):  # q does what D does
            continue
        part = Part(f"{name} {key.short}", theme.dim, _RANKS.get(name, 6 + number))
        if name == "D" and head.state == "draining":
            part = Part(_interrupt_hint(head) * state.own, theme.warn, part.rank)
        parts.append(part)
    right = [Part("read-only", theme.dim, 30)] if state.read_only else ()
    return lay_out(parts, width, right=right)
