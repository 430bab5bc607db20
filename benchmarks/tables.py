"""Tables of Markdown, and numbers as a reader wants them (pure)."""

from collections.abc import Sequence

DIGITS = 3


def number(value: float) -> str:
    """Three significant digits, thousands apart: 12,300; 4.56; 0.0123."""
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  # only NaN differs
        return "-"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{DIGITS}g}")
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    return f"{rounded:.{DIGITS}g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """A table; numbers are at the right."""
    shown = [[one if isinstance(one, str) else number(one) for one in row] for row in rows]
    right = [any(not isinstance(row[column], str) for row in rows) for column in range(len(header))]
    lines = [header, ["---:" if one else "---" for one in right], *shown]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
