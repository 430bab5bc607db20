"""Columns that show one value of a row, by which the pane can be sorted."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from rich.style import Style

from poolq.dashboard.drawing.gauges import VALUES_PER_MINUTE, spark
from poolq.dashboard.drawing.table import Cell, DrawContext, PaneColumn, Sort, rising
from poolq.monitor import amounts
from poolq.styling.theme import PLAIN

SPARK_WIDTH, SPARK_VALUES = 15, VALUES_PER_MINUTE // 2


#: The name of one of the theme's styles and, if only some rows have it, of which ones.
RowStyle = str | tuple[str, Callable[[Any], bool]]


def _style(style: RowStyle, row: Any, context: DrawContext) -> Style:
    name, has_it = (style, bool) if isinstance(style, str) else style
    found: Style = getattr(context.theme, name) if name and has_it(row) else PLAIN
    return found


def text(
    title: str, width: int, name: str | Callable[[Any], str], *, rank: int = 0, most: int = 0,
    sorts: bool = True, style: RowStyle | Callable[[Any, DrawContext], Style] = "",
) -> PaneColumn:  # fmt: skip
    """Show the text that a row has under `name`, or that `name` returns. Rows without it come
    last."""
    value = attrgetter(name) if isinstance(name, str) else name

    def cell(row: Any, context: DrawContext) -> Cell:
        look = style(row, context) if callable(style) else _style(style, row, context)
        return value(row), look

    by = rising(lambda row: value(row) or None) if sorts else None
    is_job = name in ("job", "key", "name")
    return PaneColumn(title, width, cell, rank, most, is_job_name=is_job, sort=by)


def has(name: str | Callable[[Any], Any]) -> Callable[[Sequence[Any]], bool]:
    """Return whether a row has something under `name`, or `name` returns something for a row."""
    value = attrgetter(name) if isinstance(name, str) else name
    return lambda rows: any(value(row) for row in rows)


def moment(title: str, width: int, name: str) -> PaneColumn:
    """Show the point in time that a row has under `name`."""
    value = attrgetter(name)

    def cell(row: Any, context: DrawContext) -> Cell:
        return amounts.moment(value(row), context.snapshot.at), context.theme.dim

    return PaneColumn(title, width, cell, sort=Sort(value))


def state(
    title: str, width: int, name: str | Callable[[Any], str], looks: Mapping[str, tuple[str, str]],
    other: str, *, rank: int = 0,
) -> PaneColumn:  # fmt: skip
    """Show the state that a row has under `name`, or that `name` returns, by the word and the style
    in `looks`; another state by itself, in the style `other`."""
    value = attrgetter(name) if isinstance(name, str) else name

    def cell(row: Any, context: DrawContext) -> Cell:
        word, style = looks.get(value(row), (value(row), other))
        return word, getattr(context.theme, style) if style else PLAIN

    return PaneColumn(title, width, cell, rank, sort=rising(value))


def number(
    title: str, width: int, name: str, show: Callable[[Any], str] = amounts.count, *, rank: int = 0,
    style: RowStyle = "", sorts: bool = True,
    is_shown: Callable[[Sequence[Any]], bool] | None = None,
) -> PaneColumn:  # fmt: skip
    """Show the number that a row has under `name`. A style without rows is that of all numbers but
    0."""
    value = attrgetter(name)

    def cell(row: Any, context: DrawContext) -> Cell:
        found = value(row)
        look = PLAIN if isinstance(style, str) and not found else _style(style, row, context)
        return show(found), look

    by = Sort(value) if sorts else None
    return PaneColumn(title, width, cell, rank, right=True, sort=by, is_shown=is_shown)


def sparkline(
    title: str, style: str, values: int = SPARK_VALUES,
    is_shown: Callable[[Sequence[Any]], bool] | None = None,
) -> PaneColumn:  # fmt: skip
    """Show how `row.spark` has developed in the last minute, and its maximum."""

    def cell(row: Any, context: DrawContext) -> Cell:
        most = amounts.count(max(row.spark[-values:], default=0.0))
        line = spark(row.spark, SPARK_WIDTH, context.theme, values)
        return f"{line} {most:>5}", getattr(context.theme, style)

    return PaneColumn(title, SPARK_WIDTH + 6, cell, 3, right=True, is_shown=is_shown)
