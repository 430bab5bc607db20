"""Columns that each show one value of a row. The pane can be sorted by most of them."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from rich.style import Style

from poolq.dashboard.drawing.gauges import VALUES_PER_MINUTE, spark
from poolq.dashboard.drawing.table import Cell, DrawContext, PaneColumn, Sort, rising
from poolq.monitor import amounts
from poolq.styling.theme import PLAIN

SPARK_WIDTH, SPARK_VALUES = 15, VALUES_PER_MINUTE // 2
JOB_NAMES = ("job", "key", "name")
#: How a column is styled: the name of a style of the theme, which no empty value and no 0 has; or a
#: pair of this name and a function that says which rows have it; or a function that returns the
#: style of a row.
RowStyle = str | tuple[str, Callable[[Any], bool]] | Callable[[Any, DrawContext], Style]


def _value(name: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    return attrgetter(name) if isinstance(name, str) else name


def text(
    title: str, width: int, name: str | Callable[[Any], Any], show: Callable[[Any], str] = str, *,
    rank: int = 0, most: int = 0, right: bool = False, style: RowStyle = "", sorts: bool = True,
    is_shown: Callable[[Sequence[Any]], bool] | None = None,
) -> PaneColumn:  # fmt: skip
    """Show a row's field `name`, or what the function `name` returns for the row; `show` turns the
    value into text. A column aligned to the `right` sorts the largest number first. Any other
    column sorts upwards, with empty values last."""
    value = _value(name)

    def cell(row: Any, context: DrawContext) -> Cell:
        found = value(row)
        if callable(style):
            return show(found), style(row, context)
        look, has_it = style if isinstance(style, tuple) else (style, lambda _: bool(found))
        return show(found), getattr(context.theme, look) if look and has_it(row) else PLAIN

    by = Sort(value) if right else rising(lambda row: value(row) or None)
    is_job = name in JOB_NAMES
    return PaneColumn(
        title, width, cell, rank, most, right, is_job, is_shown, by if sorts else None
    )


def number(
    title: str, width: int, name: str, show: Callable[[Any], str] = amounts.count, **more: Any
) -> PaneColumn:
    """Show the number that a row has under `name`."""
    return text(title, width, name, show, right=True, **more)


def has(name: str | Callable[[Any], Any]) -> Callable[[Sequence[Any]], bool]:
    """Return a function that says whether one of the rows has a value other than 0, "" or None. The
    value is the row's field `name`, or what the function `name` returns for the row."""
    value = _value(name)
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
    """Show a state: a row's field `name`, or what the function `name` returns for the row. `looks`
    maps it to a word and a style; a state that is not in `looks` is shown in the style `other`."""
    value = _value(name)

    def look(row: Any, context: DrawContext) -> Style:
        style = looks.get(value(row), ("", other))[1]
        return getattr(context.theme, style) if style else PLAIN

    return text(title, width, name, lambda one: looks.get(one, (one,))[0], rank=rank, style=look)


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
