"""The page of keys."""

from rich.segment import Segment

from poolq.dashboard.drawing.cells import Line, clip, fit, wrap
from poolq.dashboard.drawing.theme import PLAIN, Look
from poolq.dashboard.keys import KEYS
from poolq.dashboard.screen_state import State

NAME = 30
SIGNS = (
    "STUCK: the job runs 10 times as long as usual and over 10 s, or past its deadline",
    "STUCK, too: it runs over a minute, and nobody knows how long such jobs take",
    "LEAKS: the worker has grown 16M and more since its start, and grows 2M and more a minute",
    "HOLDS BACK: jobs wait for the rate limit; NEXT SLOT is when the next one may start",
    "UNSERVED: no pool of the namespace takes jobs of the queue",
    "STALE: the queues' counts are over 2 s older than they should be",
)


def draw(state: State, look: Look, width: int, height: int) -> list[Line]:
    """At most `height` lines; the scroll is kept within bounds."""
    lines: list[Line] = []
    size = min(NAME, max(8, width // 3))
    for key in KEYS:
        refused = key.acts and state.read_only
        what = f"{key.what} (not with --read-only)" if refused else key.what
        line = [
            Segment(f" {fit(key.keys, size, cut=look.cut)} ", look.strong),
            Segment(
                fit(what, max(0, width - size - 2), cut=look.cut), look.dim if refused else PLAIN
            ),
        ]
        lines.append(clip(line, width))
    lines.append([])
    for sign in SIGNS:
        pieces = wrap(sign, max(1, width - 1))
        lines += [[Segment(fit(f" {piece}", width, cut=""), look.dim)] for piece in pieces]
    room = max(0, height - 1)
    state.scroll = max(0, min(state.scroll, len(lines) - room))
    left = len(lines) - room - state.scroll
    more = f"  {look.down} {left} more line{'s' * (left > 1)}" if left > 0 else ""
    shown = lines[state.scroll : state.scroll + room]
    return [[Segment(fit(f" KEYS: esc goes back{more}", width, cut=""), look.focused)], *shown][
        :height
    ]
