"""The last line: a question, what is being typed, what has come of a key, or the keys there are."""

from rich.segment import Segment

from poolq.view.screen.cells import Line, clean, fit
from poolq.view.screen.keys import KEYS
from poolq.view.screen.look import Look
from poolq.view.screen.parts import Bit, lay
from poolq.view.screen.state import State

#: The keys of the last line, by how soon they are left out.
_RANKS = {"?": 0, "D": 1, "q": 2, "tab": 3, "enter": 4, "/": 5}
_ONLY = {"p": ("queues",), "r": ("failures",), "X": ("failures",)}


def draw(state: State, look: Look, width: int, now: float, *, draining: bool = False) -> Line:
    """`draining`: the pool does, so that another key for it would be of no use."""
    ascii_only = look.ascii_only
    if state.question is not None:
        text = clean(f" {state.question.text} y/N ", ascii_only=ascii_only)
        return [Segment(fit(text, width, cut=look.cut), look.question)]
    if state.typing:
        text = clean(f" /{state.filter}_", ascii_only=ascii_only)
        return [Segment(fit(text, width, cut=look.cut), look.strong)]
    if state.message and now < state.until:
        text = clean(f" {state.message}", ascii_only=ascii_only)
        return [Segment(fit(text, width, cut=look.cut), look.level(state.level))]
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
