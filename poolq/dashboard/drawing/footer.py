"""The last line: a question, what is being typed, what has come of a key, or the keys there are.

Questions and messages have more lines where they need them: nobody answers what he cannot read.
"""

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.cells import Line, clean, fit, tail, width_of, wrap
from poolq.dashboard.drawing.parts import Bit, lay
from poolq.dashboard.drawing.theme import Look
from poolq.dashboard.keys import KEYS
from poolq.dashboard.screen_state import State

#: The keys of the last line, by how soon they are left out.
_RANKS = {"?": 0, "D": 1, "q": 2, "tab": 3, "enter": 4, "/": 5}
_ONLY = {"p": ("queues",), "r": ("failures",), "X": ("failures",)}


ANSWERS = " y/N "


def draw(
    state: State, look: Look, size: tuple[int, int], now: float, *, draining: bool = False
) -> list[Line]:
    """One line, or some. `size`: columns, and lines at most; `draining`: the pool does, so that
    another key for it would be of no use."""
    width, most = size
    if state.question is not None:
        return _text(state.question.text, look, look.question, width, most, ANSWERS)
    if state.typing:
        text = clean(f" /{state.filter}_", ascii_only=look.ascii_only)
        return [[Segment(tail(text, width, look.cut), look.strong)]]
    if state.message and now < state.until:
        return _text(state.message, look, look.level(state.level), width, most)
    return [_keys(state, look, width, draining=draining)]


def _text(text: str, look: Look, style: Style, width: int, most: int, end: str = "") -> list[Line]:
    """In at most so many lines; `end` is seen in any case, and never parted."""
    text, room = clean(text, ascii_only=look.ascii_only), max(1, width - 1)
    pieces = wrap(text, room)
    if width_of(pieces[-1]) + len(end) > room:
        pieces.append("")
    if len(pieces) > most:
        pieces = wrap(fit(text, max(0, most * room - len(end)), cut=look.cut), room)
    pieces[-1] += end
    return [[Segment(fit(f" {piece}", width, cut=""), style)] for piece in pieces[:most]]


def _keys(state: State, look: Look, width: int, *, draining: bool) -> Line:
    ascii_only = look.ascii_only
    bits = [Bit(clean(f"filter: {state.filter}", ascii_only=ascii_only), look.warn)]
    if not state.filter:
        bits = []
    for number, key in enumerate(KEYS):
        name = key.keys.partition(",")[0] if key.keys != "+, -" else "+/-"
        hidden = key.acts and (state.read_only or state.pane not in _ONLY.get(name, (state.pane,)))
        if not key.short or hidden or (name == "q" and state.own):  # where q is as D
            continue
        bit = Bit(f"{name} {key.short}", look.dim, _RANKS.get(name, 6 + number))
        if name == "D" and draining:
            bit = Bit("ctrl-c twice: kill what runs" * state.own, look.warn, bit.rank)
        bits.append(bit)
    return lay(bits, width, right=[Bit("read-only", look.dim, 30)] if state.read_only else ())
