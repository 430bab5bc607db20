"""Text cut and padded to terminal columns, without control characters.

Functions that measure, cut or wrap a text clean it first, so that no text can control the terminal.
A character may take two columns (East Asian ones) or none (combining ones); rich knows the widths.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style

from poolq.common.escaping import clean

#: A line of the screen.
Line = list[Segment]


@lru_cache(maxsize=4096)  # most texts stay the same from frame to frame
def width_of(text: str) -> int:
    """Return the number of columns that a text takes once it is cleaned."""
    return len(text) if text.isascii() and text.isprintable() else cell_len(clean(text))


@lru_cache(maxsize=4096)
def fit(text: str, width: int, *, right: bool = False, cut: str = "…") -> str:
    """Cut or pad a text to `width` columns; `cut` replaces the end of a longer text."""
    text = clean(text)
    blanks = width - width_of(text)
    if blanks < 0:
        return set_cell_size(text, max(0, width - len(cut))) + cut[:width]
    return " " * blanks + text if right else text + " " * blanks


def tail(text: str, width: int, cut: str = "…") -> str:
    """Like `fit`, but cut the beginning."""
    text = clean(text)
    if width_of(text) > width:
        while text and width_of(text) > width - len(cut):
            text = text[1:]
        text = cut + text
    return fit(text, width)


def name(text: str, width: int, cut: str = "…") -> str:
    """Fit a job's name such as `shop.jobs:SendMail`. A name that is too long loses its module, as
    in `…:SendMail`, and then its beginning."""
    if width_of(text) > width and width_of(short := without_module(text, cut)) <= width:
        text = short
    return tail(text, width, cut)


def without_module(text: str, cut: str = "…") -> str:
    """Replace the module in a job's name. Return other texts, such as `user:17`, unchanged."""
    module, _, own = text.rpartition(":")
    words = [*module.split("."), own]
    return f"{cut}:{own}" if all(map(str.isidentifier, words)) else text


def phrase(text: str, width: int, cut: str = "…") -> str:
    """Like `fit`, but a word that contains a digit is left out rather than cut, since a part of a
    number would be mistaken for the number."""
    text = clean(text)
    shown = fit(text, width, cut=cut)
    if width_of(text) <= width or not shown.endswith(cut):
        return shown
    kept = shown[: -len(cut)]
    word = text[: len(kept)].rpartition(" ")[2] + text[len(kept) :].partition(" ")[0]
    if any(one.isdigit() for one in word):
        kept = kept.rpartition(" ")[0]
    return fit(kept + cut, width)


def line_width(line: Iterable[Segment]) -> int:
    return width_of("".join([segment.text for segment in line]))


def clip(line: Line, width: int) -> Line:
    """Cut a line to at most `width` columns."""
    if line_width(line) <= width:
        return line
    return Segment.adjust_line_length(line, width, pad=False)


def to_ascii(line: Line) -> Line:
    """Replace each character that is not ASCII by a question mark per column (a times sign by
    x)."""
    return [Segment("".join(map(_ascii, one.text)), one.style) for one in line]


def _ascii(one: str) -> str:
    if one.isascii():
        return one
    return "x" if one == "\N{MULTIPLICATION SIGN}" else "?" * cell_len(one)


def wrap(text: str, width: int) -> list[str]:
    """Split a text into pieces of at most `width` columns; a `width` below 1 counts as 1."""
    return [piece for piece in chop_cells(clean(text), max(1, width)) if piece] or [""]


def wrap_words(text: str, width: int) -> list[str]:
    """Split a text at blanks into lines of at most `width` columns. A word that is longer than a
    line is split."""
    width = max(1, width)
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(joined) <= width:
            lines[-1] = joined
        else:
            lines += wrap(word, width)
    return [clean(line) for line in lines[not lines[0] :]] or [""]


def full_line(text: str, width: int, style: Style, cut: str = "") -> Line:
    """Draw a text behind a blank, on a line of `width` columns."""
    return [Segment(fit(f" {text}", width, cut=cut), style)]


def paragraph(text: str, width: int, style: Style) -> list[Line]:
    """Draw a text behind a blank, on as many lines as needed."""
    return [[Segment(f" {piece}", style)] for piece in wrap_words(text, width - 1)]


def side_by_side(left: Sequence[Line], right: Sequence[Line], start: int) -> list[Line]:
    """Put two blocks side by side; the right one begins at column `start`."""
    lines = []
    for number in range(max(len(left), len(right))):
        one = left[number] if number < len(left) else []
        other = right[number] if number < len(right) else []
        lines.append([*one, Segment(" " * (start - line_width(one))), *other])
    return lines
