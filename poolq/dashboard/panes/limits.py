"""Rate limits: their state, starts, waiting jobs and next slot."""

from rich.style import Style

from poolq.dashboard.drawing.gauges import VALUES_PER_MINUTE, bar
from poolq.dashboard.drawing.table import Cell, DrawContext, Fields, Pane, PaneColumn, Sort
from poolq.dashboard.panes.columns import has, number, sparkline, state, text
from poolq.monitor import amounts
from poolq.monitor.alerts import rule, start_rates
from poolq.monitor.limit_status import FULL, HELD, HOLDS_BACK, IDLE, LimitStatus

GAUGE_WIDTH = 6
SPARK_VALUES = VALUES_PER_MINUTE // 2 - 1
#: The word and the style of a state. All other states are as they should be.
STATES = {
    HOLDS_BACK: ("HOLDS BACK", "warn"), HELD: ("HELD", "warn"), FULL: (FULL, ""),
    IDLE: (IDLE, "dim"),
}  # fmt: skip


def _starts(limit: LimitStatus, context: DrawContext) -> Cell:
    """Return the rate of starts. If the window is long enough for people to follow it, return the
    number of starts in it; for a gate, return the number of running jobs."""
    if limit.is_hold:
        return amounts.DASH
    text = f"{amounts.count(limit.used)}/{rule(limit)}"
    if limit.is_short:
        text = f"{amounts.rate(limit.starts)}/{amounts.rate(limit.allowed)} per s"
    any_ = limit.starts if limit.is_short else limit.used
    return text, context.theme.good if any_ else context.theme.dim


def _used(limit: LimitStatus, context: DrawContext) -> Cell:
    if limit.is_hold:
        return amounts.DASH
    text = f"{amounts.count(limit.used)}/{amounts.count(limit.limit)}"
    style = context.theme.warn if limit.used >= limit.limit else context.theme.good
    return f"{bar(limit.used, limit.limit, GAUGE_WIDTH, context.theme)} {text}", style


def next_slot(limit: LimitStatus, context: DrawContext) -> tuple[str, Style]:
    """Return when the next job may start."""
    if limit.is_gate and limit.used >= limit.limit:
        return "when a job ends", context.theme.warn
    if limit.is_short and limit.holds_back and not limit.hold:
        return f"within {amounts.whole(limit.window)}", context.theme.warn
    if limit.next_slot <= 0:
        return "now", context.theme.good
    due = amounts.moment(context.snapshot.at + limit.next_slot, context.snapshot.at)
    return f"{due} in {amounts.span(limit.next_slot)}", context.theme.warn


def _empty(limit: LimitStatus, context: DrawContext) -> Cell:
    if limit.empty_in is None:
        return amounts.DASH
    return amounts.moment(context.snapshot.at + limit.empty_in, context.snapshot.at)


def _is_set(limit: LimitStatus) -> bool:
    return limit.declared is not None


def _in_code(limit: LimitStatus, context: DrawContext) -> Cell:
    if limit.declared is None:
        return ""
    return amounts.count(limit.declared) if limit.declared else "?", context.theme.warn


def _per(limit: LimitStatus, _: DrawContext) -> Cell:
    return amounts.DASH if limit.is_gate or limit.is_hold else amounts.whole(limit.window)


def _more(limit: LimitStatus, context: DrawContext) -> Fields:
    warn, fields = context.theme.warn, Fields()
    if limit.hold:
        text = f"for {amounts.span(limit.hold)}: no job starts under a limit with this key"
        fields.append(("held", (text, warn)))
    if limit.is_hold:
        return fields
    fields.append(("allows", rule(limit)))
    if not limit.is_gate:
        fields.append(("rate", start_rates(limit.starts, limit.allowed)))
        ends = "no window is open"
        if limit.resets_in is not None:
            ends = f"in {amounts.span(limit.resets_in)}"
        fields.append(("next leaves" if limit.sliding else "window ends", ends))
    fields.append(("waiting", f"{limit.parked} parked, {limit.released} released"))
    if limit.declared is not None:
        code = f"instead of {limit.declared}, the" if limit.declared else "instead of the"
        text = f"by a person, {code} limit in the code; 'poolq limit reset' undoes this"
        fields.append(("set", (text, warn)))
    return fields


LIMITS_PANE = Pane(
    "limits",
    "limit",
    (
        text("", 12, "key", most=30),
        state("STATE", 10, "state", STATES, "good", rank=2),
        PaneColumn("STARTS", 12, _starts, rank=1, most=17, sort=Sort(lambda one: one.starts)),
        number("WAIT", 5, "waiting", style="warn"),
        PaneColumn("NEXT SLOT", 18, next_slot, most=23, sort=Sort(lambda one: one.next_slot)),
        PaneColumn("EMPTY AFTER", 12, _empty, rank=2, sort=Sort(lambda one: one.empty_in)),
        PaneColumn("USED", 14, _used, rank=4, most=18),
        PaneColumn("PER", 6, _per, rank=4, right=True),
        PaneColumn("IN CODE", 7, _in_code, rank=3, right=True, is_shown=has(_is_set)),
        number("HELD/MIN", 8, "held", amounts.rate, rank=5),
        sparkline("HELD, 60 S       MAX", "warn", SPARK_VALUES, has(lambda one: any(one.spark))),
    ),
    rows=lambda snapshot, _: snapshot.limits,
    key=lambda one: f"{one.key} {one.window}",
    words=lambda one: f"{one.key} {one.state}",
    empty="no rate limit was used within a minute",
    more=_more,
    severity=lambda one: "warn" if one.holds_back or one.hold else "",
)
