"""`poolq limit`: lists rate limits, and changes them."""

import re

import click

from poolq.cli import tables
from poolq.cli.group import Group
from poolq.cli.options import announce, usage, wants_json, warn, with_engine, with_new_engine
from poolq.common.durations import micros
from poolq.common.units import limit_rule
from poolq.engines import limit_admin
from poolq.engines.base import Engine
from poolq.errors import NotFound, Refused
from poolq.jobs.limits import Limit, gates_of, windows_of
from poolq.monitor import alerts, amounts, limit_status

MAX_LIMITS = 1000  # an engine lists at most this many
COLUMNS = (
    tables.Column("KEY", lambda one: one.key, elastic=True),
    tables.Column("LIMIT", lambda one: _rule(one)),
    tables.Column("USED", lambda one: amounts.DASH if one.is_hold else one.used, right=True),
    tables.Column("RESETS", lambda one: amounts.span(one.resets_in), right=True, rank=1),
    tables.Column("WAITING", lambda one: one.waiting, right=True),
    tables.Column("HELD", lambda one: amounts.span(one.hold or None), right=True),
    tables.Column("STATE", lambda one: one.state),
)
STYLES = dict.fromkeys((limit_status.HOLDS_BACK, limit_status.FULL, limit_status.HELD), "warn")
FIELDS = (
    "key", "limit", "window", "state", "used", "resets_in", "waiting", "parked", "released",
    "next_slot", "sliding", "declared", "hold",
)  # fmt: skip


@click.group(cls=Group)
def limit() -> None:
    """List rate limits, and change them."""


@limit.command()
@with_engine
def ls(engine: Engine) -> None:
    """List the rate limits in use, those that jobs wait for first.

    A LIMIT that a person has set is followed by the one in the code.

    USED is the number of starts in the current window, which ends in RESETS. In a sliding window,
    the first of these starts leaves it then. For a limit of jobs at once, USED is how many run.
    WAITING is the number of jobs that wait; 'poolq job ls --limit-key' lists them. A key that is
    held has a line of its own, and HELD says for how long no job starts under a limit with it.
    """
    found = list(map(limit_status.of_use, engine.limits()))
    document = [{name: getattr(one, name) for name in FIELDS} for one in found]
    held = any(one.hold for one in found)
    columns = [one for one in COLUMNS if held or one.title != "HELD"]
    none = f"no rate limit is in use in namespace {engine.namespace!r}"
    tables.show_list({"limits": document}, columns, found, none, STYLES)
    if len(found) >= MAX_LIMITS and not wants_json():
        warn(f"only {MAX_LIMITS} limits are shown; there may be more")


def _rule(one: limit_status.LimitStatus) -> str:
    code = "" if one.declared is None else f" (code: {one.declared or '?'})"
    return alerts.rule(one) + code


def _rate(ctx: click.Context, _param: click.Parameter, value: str) -> Limit:
    """Read a rate such as 50/1s."""
    parts = re.fullmatch(r"\s*([0-9]{1,10})\s*/\s*(\S.*)", value)
    if parts is None:
        raise click.UsageError(f"RATE is {value!r}; write a number and a time, such as 50/1s", ctx)
    count, time = parts.groups()
    time = f"1{time}" if time[0].isalpha() and time[0] != "P" else time
    with usage():
        return Limit(int(count), seconds=micros(time, "the time of RATE") / 1e6)


@limit.command(name="set")
@click.argument("key")
@click.argument("rate", callback=_rate)
@click.option(
    "--force", is_flag=True, help="Even if all that is in use with the KEY is a Concurrent."
)
@with_new_engine
def set_(engine: Engine, key: str, rate: Limit, force: bool) -> None:
    """Set a limit in place of the one in the code, such as 50/1s.

    It applies to all jobs that have a limit with this KEY and window, parked ones too, until 'poolq
    limit reset'.
    """
    uses = limit_admin.uses_of(engine, key)
    known = sorted({rule.window for rule in windows_of(use.rule for use in uses)})
    gates = gates_of(use.rule for use in uses)
    if gates and not known and not force:
        text = f"{key} is the key of a Concurrent({gates[0].limit}), whose number cannot be set"
        raise Refused(
            f"{text}; change it in the code, or add --force if jobs have a rate limit too"
        )
    with usage():
        new = Limit(rate.limit, seconds=rate.window / 1e6, key=key)
        limit_admin.set_limit(engine, new)
    sliding = limit_admin.is_sliding(uses, new.window)
    done = f"limit {key} allows {limit_rule(new.limit, new.window / 1e6, sliding=sliding)} now"
    tables.show({"key": key, "limit": new.limit, "window": new.window / 1e6}, done)
    announce(engine, done)
    if known and new.window not in known:
        windows = ", ".join(amounts.whole(window / 1e6) for window in known)
        warn(f"the limits of {key} in use have another window: {windows}")
    if not known:
        warn(f"no limit of {key} is in use now; it applies to jobs with this key and window")


@limit.command()
@click.argument("key")
@click.argument("time")
@with_new_engine
def hold(engine: Engine, key: str, time: str) -> None:
    """Let no job start under the limits with this KEY for a TIME, such as 30s.

    The jobs wait in their order, whatever their on_limit, and use no attempts. If the key is held
    already, this can only make the hold longer; 'poolq limit reset' ends it.
    """
    with usage():
        left = limit_admin.hold_key(engine, key, time)
    done = f"limit key {key} is held for {amounts.span(left / 1e6)}"
    tables.show({"key": key, "hold": left / 1e6}, done)
    announce(engine, done)


@limit.command()
@click.argument("key")
@click.option(
    "--starts", is_flag=True, help="Also forget the starts that its windows have counted."
)
@with_engine
def reset(engine: Engine, key: str, starts: bool) -> None:
    """Let the limits in the code apply again to a KEY, in all windows, and end its hold.

    With --starts, the windows begin anew, so that as many jobs as the limit allows may start now.
    """
    with usage():
        if not limit_admin.uses_of(engine, key):
            text = f"no limit {key!r} is in use, held or set; 'poolq limit ls' lists them"
            raise NotFound(text)
        reset = limit_admin.reset_key(engine, key, starts)
    done = [f"limit {key} is what the code says again"] if reset.windows else []
    done += [f"limit key {key} is no longer held"] if reset.held else []
    done += [f"limit {key} has forgotten its starts"] if reset.forgot else []
    if not done:
        hint = "--starts forgets the starts it has counted"
        hint = "it has counted no starts" if starts else hint
        raise NotFound(f"nobody has set or holds limit {key}; {hint}")
    windows = [one / 1e6 for one in reset.windows]
    found = {"key": key, "windows": windows, "starts": reset.forgot, "held": reset.held}
    tables.show(found, *done)
    for line in done:
        announce(engine, line)
