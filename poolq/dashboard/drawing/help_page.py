"""The help page: keys and alerts."""

from rich.segment import Segment

from poolq.dashboard.drawing.cells import Line, clip, fit, wrap
from poolq.dashboard.drawing.theme import PLAIN, Theme
from poolq.dashboard.keys import KEY_HELP
from poolq.dashboard.screen_state import ScreenState

KEYS_WIDTH = 30
ALERT_HELP = (
    "STUCK: the job has run for over 10 s and 10 times as long as usual, or past its deadline",
    "STUCK, without a known usual duration: it has run for over a minute without progress",
    "LEAKS: the worker's memory has grown by 16M or more, and grows by 2M or more a minute",
    "HOLDS BACK: jobs wait for the rate limit; NEXT SLOT is when the next job may start",
    "UNSERVED: no pool of the namespace takes jobs from the queue",
    "STALE: the counts of the queues are over 2 s older than they should be",
)


def draw(state: ScreenState, theme: Theme, width: int, height: int) -> list[Line]:
    """Draw at most `height` lines, and keep `state.scroll` in bounds."""
    lines: list[Line] = []
    size = min(KEYS_WIDTH, max(8, width // 3))
    for key in KEY_HELP:
        refused = key.changes and state.read_only
        what = f"{key.what} (not with --read-only)" if refused else key.what
        style = theme.dim if refused else PLAIN
        line = [
            Segment(f" {fit(key.keys, size, cut=theme.cut)} ", theme.strong),
            Segment(fit(what, max(0, width - size - 2), cut=theme.cut), style),
        ]
        lines.append(clip(line, width))
    lines.append([])
    for sign in ALERT_HELP:
        pieces = wrap(sign, max(1, width - 1))
        lines += [[Segment(fit(f" {piece}", width, cut=""), theme.dim)] for piece in pieces]
    room = max(0, height - 1)
    state.scroll = max(0, min(state.scroll, len(lines) - room))
    left = len(lines) - room - state.scroll
    more = f"  {theme.down} {left} more line{'s' * (left > 1)}" if left > 0 else ""
    shown = lines[state.scroll : state.scroll + room]
    title = Segment(fit(f" KEYS: esc goes back{more}", width, cut=""), theme.focused)
    return [[title], *shown][:height]
