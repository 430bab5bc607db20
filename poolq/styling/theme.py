"""Themes: styles and characters, with colours or without, in Unicode or in ASCII.

Only the 16 colours that users can configure in their terminal are used. Colour alone never carries
a meaning; a word or a sign always says the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.style import Style

PLAIN = Style()


@dataclass(frozen=True, slots=True)
class Theme:
    """Styles and characters by their meaning. `levels` are eight blocks of rising height; `full`
    and `empty` are the parts of a bar."""

    ascii_only: bool
    good: Style
    warn: Style
    bad: Style
    accent: Style
    dim: Style
    strong: Style
    header: Style
    focused: Style
    chosen: Style
    question: Style
    levels: str
    full: str
    empty: str
    dot: str
    mark: str
    cut: str
    up: str
    down: str
    focus: str

    def level(self, name: str) -> Style:
        """Return the style of "info", "warning" (or "warn") and "error" (or "bad")."""
        bad, warn = self.bad, self.warn
        return {"warning": warn, "warn": warn, "error": bad, "bad": bad}.get(name, PLAIN)


def make_theme(*, colour: bool, ascii_only: bool) -> Theme:
    """Make a theme. Without `colour`, it only uses bold, dim, underlined and reversed text."""

    def style(color: str = "", on: str = "", **more: bool) -> Style:
        bold, underline, reverse = map(more.get, ("bold", "underline", "reverse"))
        front, back = (color or None, on or None) if colour else (None, None)
        return Style(color=front, bgcolor=back, bold=bold, underline=underline, reverse=reverse)

    signs = ("_.:-=+*#", "#", ".", "*", "!", "~", "^", "v", ">")
    if not ascii_only:
        signs = ("▁▂▃▄▅▆▇█", "█", "░", "●", "!", "…", "▲", "▼", "▶")
    levels, full, empty, dot, mark, cut, up, down, focus = signs
    reverse = not colour
    return Theme(
        ascii_only=ascii_only,
        good=style("green"), warn=style("yellow", bold=True), bad=style("red", bold=True),
        accent=style("cyan"), dim=Style(dim=True), strong=Style(bold=True),
        header=style("white", "bright_black", bold=True, underline=not colour),
        focused=style("black", "cyan", reverse=reverse, bold=not colour),
        chosen=Style(reverse=True), question=style("black", "yellow", reverse=reverse, bold=True),
        levels=levels, full=full, empty=empty, dot=dot, mark=mark, cut=cut,
        up=up, down=down, focus=focus,
    )  # fmt: skip


def theme_for(environ: Mapping[str, str]) -> Theme:
    colour = not environ.get("NO_COLOR") and environ.get("TERM", "") not in ("dumb", "vt100")
    return make_theme(colour=colour, ascii_only=not speaks_utf8(environ))


def speaks_utf8(environ: Mapping[str, str]) -> bool:
    """Return whether the locale is UTF-8. A locale of C.UTF-8 does not count if Python may have set
    it in place of C, since it then says nothing about the terminal."""
    whole = environ.get("LC_ALL", "")
    found = whole or environ.get("LC_CTYPE", "") or environ.get("LANG", "")
    coerced = not whole and found == "C.UTF-8" and environ.get("LANG", "") in ("", "C", "POSIX")
    return found.upper().replace("-", "").endswith("UTF8") and not coerced
