"""The help page: keys, the mouse, commands and the words that stand out. It
scrolls, and has two columns on a wide screen."""

from collections.abc import Sequence

from rich.segment import Segment

from poolq.dashboard.commands import COMMANDS, FILTERS_HELP
from poolq.dashboard.drawing.layout import PANE_GAP, TWO_COLUMNS_WIDTH
from poolq.dashboard.key_help import KEY_HELP, MOUSE_HELP
from poolq.dashboard.screen_state import ScreenState
from poolq.styling.cells import Line, clip, fit, full_line, paragraph, side_by_side, wrap_words
from poolq.styling.theme import PLAIN, Theme

KEYS_WIDTH = 30
REFUSED = "(not with --read-only)"
WORD_HELP = (
    "STUCK: the job has run for over 10 s and 10 times as long as usual, or past its deadline",
    "STUCK, without a known usual duration: it has run for over a minute without progress",
    "LEAKS: the worker's memory has grown by 16M or more, and grows by 2M or more a minute",
    "HOLDS BACK: jobs wait for a slot of the limit; NEXT SLOT is when the next job may start",
    "HELD: no job starts under this key until NEXT SLOT, as a job or a person has asked",
    "UNSERVED: no pool of the namespace takes jobs from the queue",
    "STALE: the counts of the queues are over 2 s older than they should be",
)


def draw(state: ScreenState, theme: Theme, width: int, height: int) -> list[Line]:
    """Draw at most `height` lines, and keep `state.scroll` in bounds."""
    if width >= TWO_COLUMNS_WIDTH:
        half = (width - PANE_GAP) // 2
        left, right = _keys(state, theme, half), _commands(state, theme, half)
        lines = side_by_side(left, right, half + PANE_GAP)
    else:
        lines = [*_keys(state, theme, width), [], *_commands(state, theme, width)]
    room = max(0, height - 1)
    state.page = max(1, room - 1)
    state.scroll = max(0, min(state.scroll, len(lines) - room))
    below = len(lines) - room - state.scroll
    more = f"  {theme.down} {below} more line{'s' * (below > 1)}" if below > 0 else ""
    shown = lines[state.scroll : state.scroll + room]
    title = full_line(f"KEYS: esc goes back{more}", width, theme.focused)
    return [title, *shown][:height]


def _keys(state: ScreenState, theme: Theme, width: int) -> list[Line]:
    lines: list[Line] = []
    for key in KEY_HELP:
        lines += _entry(key.keys, key.what, theme, width, refused=key.changes and state.read_only)
    return [*lines, [], *_section("MOUSE", MOUSE_HELP, theme, width)]


def _commands(state: ScreenState, theme: Theme, width: int) -> list[Line]:
    lines = _section("COMMANDS, AFTER ':'", (), theme, width)
    for spec in COMMANDS.values():
        refused = spec.changes and state.read_only
        lines += _entry(f"{spec.name} {spec.usage}", spec.what, theme, width, refused=refused)
    for sentence in FILTERS_HELP:
        lines += paragraph(sentence, width, PLAIN)
    return [*lines, [], *_section("WORDS", WORD_HELP, theme, width)]


def _entry(name: str, what: str, theme: Theme, width: int, *, refused: bool) -> list[Line]:
    """Draw a name and what it does, side by side; a long name gets lines of its own."""
    size = min(KEYS_WIDTH, max(8, width // 3))
    style = theme.dim if refused else PLAIN
    names = wrap_words(name, size)
    if len(names) > 1 and width > 2 * size:
        names = wrap_words(name, width - 2)
    texts = wrap_words(f"{what} {REFUSED}" if refused else what, width - size - 2)
    beside = len(names) == 1 and len(names[0]) <= size
    lines: list[Line] = []
    if not beside:
        lines += [[Segment(f" {piece}", theme.strong)] for piece in names]
    for number, text in enumerate(texts):
        start = name if beside and number == 0 else ""
        lines.append([Segment(f" {fit(start, size)} ", theme.strong), Segment(text, style)])
    return [clip(line, width) for line in lines]


def _section(title: str, sentences: Sequence[str], theme: Theme, width: int) -> list[Line]:
    lines = [full_line(title, width, theme.header)]
    for sentence in sentences:
        lines += paragraph(sentence, width, PLAIN)
    return lines
