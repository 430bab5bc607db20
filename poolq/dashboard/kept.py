"""Keeps what a frame has worked out, so that the next one works out only what differs.

Most of a screen stays as it was a quarter of a second ago, and drawing it again would be most of
what the screen costs.
"""

from collections.abc import Callable
from operator import is_
from typing import Any, NamedTuple, TypeVar

from rich.segment import Segment

T = TypeVar("T")


class DrawnRow(NamedTuple):
    """A row as it was drawn. `cells` and `segments` belong to the columns of `layout`, which is
    another object whenever the columns or their widths change. `look`: what else the line depends
    on."""

    row: object
    layout: object
    look: tuple[str, bool]
    cells: list[Any]
    segments: list[Segment]
    line: list[Segment]


class DrawnHeader(NamedTuple):
    """A header as it was drawn, and what the line depends on."""

    look: tuple[object, ...]
    line: list[Segment]


class Kept:
    """What one screen keeps. `rows` and `headers` are by pane, and each row by its key."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, DrawnRow]] = {}
        self.headers: dict[str, DrawnHeader] = {}
        self._theme: object = None
        self._results: dict[str, tuple[tuple[Any, ...], Any]] = {}

    def use_theme(self, theme: object) -> None:
        """Forget what was drawn with another theme."""
        if self._theme is not theme:
            self._theme = theme
            self.rows.clear()
            self.headers.clear()

    def result(self, name: str, make: Callable[..., T], *args: object) -> T:
        """Return `make(*args)`, or what it returned last under this name if each argument is still
        the same object. They must be immutable."""
        known = self._results.get(name)
        if known is None or not all(map(is_, known[0], args)):
            known = self._results[name] = args, make(*args)
        found: T = known[1]
        return found
