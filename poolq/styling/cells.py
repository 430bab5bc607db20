"""Text cut and padded to terminal columns, without control characters.

A character may take two columns (East Asian ones) or none (combining ones); rich knows the widths.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from poolq.common import escaping

#: A line of the screen.
Line = list[Segment]


def clean(text: str, *, ascii_only: bool = False) -> str:
    """Return the text on one line, with control characters, surrogates and bidirectional controls
    escaped. If `ascii_only`, ? replaces characters that are not ASCII."""
    text = escaping.clean(text)
    if ascii_only and not text.isascii():
        text = text.replace("\N{MULTIPLICATION SIGN}", "x").encode("ascii", "replace").decode()
    return text


def width_of(text: str) -> int:
    """Return the number of columns that a cleaned text takes."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, *, right: bool = False, cut: str = "…") -> str:
    """Cut or pad a cleaned text to `width` columns; `cut` replaces the end of a longer text."""
    found = width_of(text)
    if found == width:
        return text
    if found < width:
        return text.rjust(width - found + len(text)) if right else text + " " * (width - found)
    if width <= len(cut):
        return cut[:width]
    if text.isascii():
        return text[: width - len(cut)] + cut
    return set_cell_size(text, width - len(cut)) + cut


def tail(text: str, width: int, cut: str = "…") -> str:
    """Like `fit`, but cut the beginning."""
    if width_of(text) <= width:
        return fit(text, width)
    while text and width_of(text) > width - len(cut):
        text = text[1:]
    return fit(cut + text, width)


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
    found: Line = []
    for segment in line:
        taken = width_of(segment.text)
        if taken > width:
            found.append(Segment(fit(segment.text, width, cut=""), segment.style))
            return found
        found.append(segment)
        width -= taken
    return found


def wrap(text: str, width: int) -> list[str]:
    """Split a cleaned text into pieces of at most `width` columns, or of one."""
    width = max(1, width)
    if width_of(text) <= width:
        return [text]
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)]
    pieces, piece, taken = [], "", 0
    for one in text:
        size = width_of(one)
        if taken + size > width:
            pieces.append(piece)
            piece, taken = "", 0
        piece, taken = piece + one, taken + size
    return [*pieces, piece]


def wrap_words(text: str, width: int) -> list[str]:
    """Split a cleaned text at blanks into lines of at most `width` columns. A word that is longer
    than a line is split."""
    width = max(1, width)
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(joined) <= width:
            lines[-1] = joined
        else:
            lines += wrap(word, width)
    return lines if lines[0] else lines[1:] or [""]


def full_line(text: str, width: int, style: Style, cut: str = "") -> Line:
    """Draw a cleaned text behind a blank, on a line of `width` columns."""
    return [Segment(fit(f" {text}", width, cut=cut), style)]


def paragraph(text: str, width: int, style: Style) -> list[Line]:
    """Draw a cleaned text behind a blank, on as many lines as needed."""
    return [clip([Segment(f" {piece}", style)], width) for piece in wrap_words(text, width - 1)]


def side_by_side(left: Sequence[Line], right: Sequence[Line], start: int) -> list[Line]:
    """Put two blocks side by side; the right one begins at column `start`."""
    lines = []
    for number in range(max(len(left), len(right))):
        one = left[number] if number < len(left) else []
        other = right[number] if number < len(right) else []
        lines.append([*one, Segment(" " * (start - line_width(one))), *other])
    return lines
