"""The help page: keys, the mouse, commands and the words that stand out."""

from rich.segment import Segment

from poolq.dashboard.key_bindings import KEYS
from poolq.styling.cells import Line, fit, full_line, paragraph, wrap_words
from poolq.styling.theme import PLAIN, Theme

KEYS_WIDTH = 30
REFUSED = "(not with --read-only)"
MOUSE_HELP = (
    "A click selects a row or a pane, and a second click opens the row.",
    "A click on a title of the focused pane sorts by it; the wheel scrolls.",
    "To select text, hold shift, or use --no-mouse.",
)
COMMAND_HELP = (
    "Each command of poolq runs on the terminal, in front of the screen, on this pool's engine.",
    "scale 8, pause, resume, kill 3, log -f, queue pause mails, queue purge mails, limit ls",
    "job cancel ID, job cancel --queue mails, job move ID --to=mails, failed retry --job jobs:Send",
    "'job cancel --help' shows its options. Ctrl-C ends the command.",
)
WORD_HELP = (
    "STUCK: the job has run for over 10 s and 10 times as long as usual, or past its deadline",
    "STUCK, without a known usual duration: it has run for over a minute without progress",
    "LEAKS: the worker's memory has grown by 16M or more, and grows by 2M or more a minute",
    "HOLDS BACK: jobs wait for a slot of the limit; NEXT SLOT is when the next job may start",
    "HELD: no job starts under this key until NEXT SLOT, as a job or a person has asked",
    "UNSERVED: no pool of the namespace takes jobs from the queue",
    "STALE: the counts of the queues are over 2 s older than they should be",
)
SECTIONS = {"MOUSE": MOUSE_HELP, "COMMANDS, AFTER ':'": COMMAND_HELP, "WORDS": WORD_HELP}


def draw(theme: Theme, width: int, *, read_only: bool) -> list[Line]:
    """Draw all lines."""
    lines: list[Line] = []
    for key in KEYS:
        lines += _entry(key.keys, key.what, theme, width, refused=key.changes and read_only)
    for title, sentences in SECTIONS.items():
        lines += [[], full_line(title, width, theme.header)]
        for sentence in sentences:
            lines += paragraph(sentence, width, PLAIN)
    return lines


def _entry(name: str, what: str, theme: Theme, width: int, *, refused: bool = False) -> list[Line]:
    """Draw a name and what it does, side by side; a long name gets lines of its own."""
    size = min(KEYS_WIDTH, max(8, width // 3))
    style = theme.dim if refused else PLAIN
    beside = len(name) <= size
    lines = [] if beside else paragraph(name, width, theme.strong)
    texts = wrap_words(f"{what} {REFUSED}" if refused else what, width - size - 2)
    for number, text in enumerate(texts):
        start = fit(name if beside and number == 0 else "", size)
        lines.append([Segment(f" {start} ", theme.strong), Segment(text, style)])
    return lines
