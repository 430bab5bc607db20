"""`poolq limit`: lists rate limits."""

import click

from poolq.cli.group import Group
from poolq.cli.options import json_option, warn, with_engine
from poolq.engines.base import Engine
from poolq.monitor import alerts, amounts, limit_status

MAX_LIMITS = 1000  # that an engine lists
STYLES = {limit_status.HOLDS_BACK: "warn", limit_status.FULL: "warn"}
FIELDS = (
    "key", "limit", "window", "state", "used", "resets_in", "waiting", "parked", "released",
    "next_slot", "sliding",
)  # fmt: skip


@click.group(cls=Group)
def limit() -> None:
    """List rate limits."""


@limit.command()
@json_option
@with_engine
def ls(engine: Engine, as_json: bool) -> None:
    """List the rate limits in use, those that jobs wait for first.

    USED is the number of starts in the current window, which ends in RESETS. In a sliding window,
    the first of these starts leaves it then. For a limit of jobs at once, USED is how many run.
    WAITING is the number of jobs that wait; 'poolq job ls --limit-key' lists them.
    """
    from poolq.cli import tables

    found = list(map(limit_status.of_use, engine.limits()))
    if as_json:
        shown = [{name: getattr(one, name) for name in FIELDS} for one in found]
        tables.print_json({"limits": shown})
        return
    if not found:
        warn(f"no rate limit is in use in namespace {engine.namespace!r}")
        return
    columns = [
        tables.Column("KEY", elastic=True), tables.Column("LIMIT"),
        tables.Column("USED", right=True), tables.Column("RESETS", right=True, rank=1),
        tables.Column("WAITING", right=True), tables.Column("STATE"),
    ]  # fmt: skip
    rows = [
        (
            one.key, alerts.rule(one), one.used,
            amounts.span(one.resets_in), one.waiting, one.state,
        )
        for one in found
    ]  # fmt: skip
    tables.print_table(columns, rows, styles=STYLES)
    if len(found) >= MAX_LIMITS:
        warn(f"only {MAX_LIMITS} limits are shown; there may be more")
