"""`poolq status`: the state of a running pool."""

from time import time
from typing import Any

import click

from poolq.acts.on_pools import accepted
from poolq.cli import tables
from poolq.cli.options import json_option, with_settings
from poolq.cli.pools.pool import connect
from poolq.common import units
from poolq.config import Config
from poolq.control.client import ControlClient, reading
from poolq.errors import PoolqError
from poolq.monitor import amounts
from poolq.monitor.snapshot import EventView

NOT_TAKING = 3
STYLES = {"paused": "warn", "draining": "warn", "busy": "good", "leaving": "warn"}
#: The counters of a worker, with the ranks of their columns.
WORKER_COUNTS = {"done": 1, "failed": 1, "retried": 4, "limited": 5, "parked": 6}
EVENTS_PRINTED, MAX_EVENTS = 5, 20


@click.command()
@json_option
@with_settings("name")
def status(settings: Config, as_json: bool) -> int:
    """Show a pool's state, workers and last failed reload.

    Exits with 3 if it takes no new jobs, because it is paused or exiting, and with 69 if there is
    no such pool.
    """
    line = connect(settings)
    found = accepted(settings.name, line.request("status"))
    with reading(settings.name):
        return _print(found, line, as_json)


def _print(found: dict[str, Any], line: ControlClient, as_json: bool) -> int:
    events = found["events"] = _events(line)
    taking = not found["paused"] and found["state"] not in ("draining", "ending")
    if as_json:
        tables.print_json(found)
        return 0 if taking else NOT_TAKING
    tables.print_fields(_fields(found))
    columns = [
        tables.Column("WORKER", right=True), tables.Column("PID", right=True, rank=2),
        tables.Column("GEN", right=True, rank=3), tables.Column("STATE"),
        tables.Column("QUEUE", elastic=True, rank=2), tables.Column("JOB", elastic=True),
        tables.Column("ID"), tables.Column("SINCE", right=True, rank=1),
        *(tables.Column(name.upper(), True, rank=rank) for name, rank in WORKER_COUNTS.items()),
        tables.Column("RSS", right=True, rank=7), tables.Column("RESTARTS", right=True, rank=8),
    ]  # fmt: skip
    click.echo()
    tables.print_table(columns, [_row(worker) for worker in found["workers"]], styles=STYLES)
    if events:
        click.echo()
        columns = [tables.Column("AT"), tables.Column("WHO"), tables.Column("EVENT", elastic=True)]
        rows = [
            (amounts.moment(one.at, time()), one.who, one.text) for one in events[:EVENTS_PRINTED]
        ]
        tables.print_table(columns, rows)
    return 0 if taking else NOT_TAKING


def _events(line: ControlClient) -> list[EventView]:
    """Return the latest events of the pool, the newest first. They are in shared memory."""
    from poolq.monitor.reader import SnapshotReader

    try:
        scores = line.attach()
    except PoolqError:  # it has just ended
        return []
    found = SnapshotReader(scores).snapshot()
    scores.close()
    return list(found.events[:MAX_EVENTS]) if found else []


def _fields(found: dict[str, Any]) -> dict[str, object]:
    broker, keeper, refusal = found["broker"], found["keeper"], found["refusal"]
    templates = [
        f"g{one['generation']} {one['pid']}" + (f", spare {one['spare']}" if one["spare"] else "")
        for one in found["templates"]
    ]
    fields: dict[str, object] = {
        "pool": f"{found['pool']}, {_state(found)}",
        "generation": found["generation"] or "none yet",
        "master": f"{found['pid']}, up {amounts.span(found['uptime'])}",
        "keeper": _helper(keeper["pid"], keeper["age"]),
        "logger": found["logger"]["pid"] or "none now",
        "template": "; ".join(templates) or "none",
        "broker": f"{broker['engine']}, {_broker(broker)}",
        "queues": ", ".join(found["queues"]) if found["queues"] else "all",
    }
    if held := [_limit(one) for one in found["limits"] if one["state"] in ("holds back", "held")]:
        fields["held back"] = "\n".join(held)
    if late := [one["name"] for one in found["schedules"] if one["state"] == "late"]:
        fields["late"] = "\n".join(f"schedule {name}" for name in late)
    if refusal:
        fields["last reload"] = f"refused: {refusal['reason']}\n{refusal['traceback']}".rstrip()
    return fields


def _limit(one: dict[str, Any]) -> str:
    from poolq.monitor.alerts import start_rates

    if not one["limit"]:
        hold = amounts.span(one["hold"])
        return f"{one['key']} is held for {hold}, {one['waiting']} wait for that"
    rule = units.limit_rule(one["limit"], one["window"], sliding=one["sliding"])
    facts = [f"{one['waiting']} wait for {one['key']} ({rule})"]
    if not one["waiting"]:
        facts = [f"{one['held'] or 0:.0f} a minute were held back by {one['key']} ({rule})"]
    if one["window"]:
        facts.append(f"starts {start_rates(one['starts'], one['allowed'])}")
    else:
        facts.append(f"{one['used']} run")
    if one["next_slot"]:
        facts.append(f"next slot in {amounts.span(one['next_slot'])}")
    if one["empty_in"] is not None:
        facts.append(f"empty in about {amounts.span(one['empty_in'])}")
    return ", ".join(facts)


def _state(found: dict[str, Any]) -> str:
    trial = found["trial"]
    if found["state"] == "starting" or not trial:
        return str(found["state"])
    if trial["starts_in"] is not None:
        return f"{found['state']}, loads g{trial['generation']} in {trial['starts_in']:.0f} s"
    reloading = f"reloading g{trial['generation']}"
    return reloading if found["state"] == "reloading" else f"{found['state']}, {reloading}"


def _helper(pid: int | None, age: float | None) -> str:
    if not pid:
        return "none now"
    return f"{pid}, heard {amounts.span(age)} ago" if age is not None else f"{pid}, starting"


def _broker(broker: dict[str, Any]) -> str:
    if broker["age"] is None:
        return "not reached yet"
    how = "reachable" if broker["reachable"] else "NOT reachable"
    return f"{how}, answered {amounts.span(broker['age'])} ago"


def _row(worker: dict[str, Any]) -> tuple[object, ...]:
    return (
        worker["slot"], worker["pid"] or "-", f"g{worker['generation']}", worker["state"],
        worker["queue"] or "-", worker["job"] or "-", worker["id"] or "-",
        amounts.span(worker["since"]),
        *(worker[name] for name in WORKER_COUNTS),
        f"{worker['rss'] / (1 << 20):.0f}M", worker["restarts"],
    )  # fmt: skip
