"""The plot: bars in groups, from a template of our own: no plotting library is needed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10

from benchmarks.report import Chart
from benchmarks.tables import number

WIDTH, LABELS, ROOM = 760, 210, 90  # of all, of the names at the left, of the numbers at the right
BAR, GAP, TITLE, MARGIN = 18, 6, 40, 16
OWN, OTHER = "#2563eb", "#94a3b8"
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#0f172a}.t{font-weight:600;font-size:15px}"
    ".a{text-anchor:end}rect.back{fill:#ffffff}"
)


def svg(charts: Sequence[Chart]) -> str:
    """One picture of all charts, each on a logarithmic scale of its own that begins at a tenth of
    its smallest value's decade."""
    parts: list[str] = []
    top = float(MARGIN)
    for chart in charts:
        parts.append(_text(MARGIN, top + 18, f"{chart.title} ({chart.unit}, logarithmic)", "t"))
        top += TITLE - 10
        for bar in chart.bars:
            length = _length(bar.value, [one.value for one in chart.bars])
            middle = top + BAR - 5
            parts.append(_text(LABELS - 8, middle, bar.label, "a"))
            colour = OWN if bar.own else OTHER
            parts.append(
                f'<rect x="{LABELS}" y="{top:g}" width="{length:.1f}" height="{BAR}"'
                f' rx="2" fill="{colour}"/>'
            )
            parts.append(_text(LABELS + length + 6, middle, number(bar.value), ""))
            top += BAR + GAP
        top += MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top:g}"'
        f' viewBox="0 0 {WIDTH} {top:g}" role="img"><title>Benchmarks</title>'
        f'<style>{STYLE}</style><rect class="back" width="100%" height="100%"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _length(value: float, values: Sequence[float]) -> float:
    low, high = log10(min(values)) - 0.5, log10(max(values))
    return (WIDTH - LABELS - ROOM) * (log10(value) - low) / (high - low)


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'
