"""`poolq status`: the state of a running pool."""

import os
from collections.abc import Sequence
from contextlib import closing, suppress
from operator import itemgetter
from time import time
from typing import Any

import click

from poolq.cli import tables
from poolq.cli.options import wants_json, with_settings
from poolq.config import Config
from poolq.control.client import reading, request
from poolq.errors import PoolqError
from poolq.monitor import amounts
from poolq.monitor.alerts import Alert, alerts
from poolq.monitor.snapshot import Snapshot

NOT_TAKING = 3
STYLES = {"paused": "warn", "draining": "warn", "busy": "good", "leaving": "warn"}
WORKER_COLUMNS = (
    tables.Column("WORKER", itemgetter("slot"), right=True),
    tables.Column("PID", itemgetter("pid"), right=True, rank=2),
    tables.Column("GEN", lambda one: f"g{one['generation']}", right=True, rank=3),
    tables.Column("STATE", itemgetter("state")),
    tables.Column("QUEUE", itemgetter("queue"), elastic=True, rank=2),
    tables.Column("JOB", itemgetter("job"), elastic=True),
    tables.Column("ID", itemgetter("id")),
    tables.Column("SINCE", lambda one: amounts.span(one["since"]), right=True, rank=1),
    tables.Column("DONE", itemgetter("done"), right=True, rank=1),
    tables.Column("FAILED", itemgetter("failed"), right=True, rank=1),
    tables.Column("RETRIED", itemgetter("retried"), right=True, rank=4),
    tables.Column("LIMITED", itemgetter("limited"), right=True, rank=5),
    tables.Column("PARKED", itemgetter("parked"), right=True, rank=6),
    tables.Column("RSS", lambda one: f"{one['rss'] / (1 << 20):.0f}M", right=True, rank=7),
    tables.Column("RESTARTS", itemgetter("restarts"), right=True, rank=8),
)
EVENT_COLUMNS = (
    tables.Column("AT", lambda one: amounts.moment(one.at, time())),
    tables.Column("WHO", lambda one: one.who),
    tables.Column("EVENT", lambda one: one.text, elastic=True),
)
EVENTS_PRINTED, MAX_EVENTS = 5, 20


@click.command()
@with_settings("name")
def status(settings: Config) -> int:
    """Show a pool's state, workers and last failed reload.

    Exits with 3 if it takes no new jobs, because it is paused or exiting, and with 69 if there is
    no such pool.
    """
    found = request(settings.name, os.environ, "status")
    with reading(settings.name):
        return _print(found, snapshot(settings.name))


def _print(found: dict[str, Any], seen: Snapshot | None) -> int:
    taking = not found["paused"] and found["state"] not in ("draining", "ending")
    events = seen.events[:MAX_EVENTS] if seen else ()
    if wants_json():
        tables.print_json({**found, "events": events})
        return 0 if taking else NOT_TAKING
    tables.print_fields(_fields(found, alerts(seen) if seen else ()))
    click.echo()
    tables.print_table(WORKER_COLUMNS, found["workers"], styles=STYLES)
    if events:
        click.echo()
        tables.print_table(EVENT_COLUMNS, events[:EVENTS_PRINTED])
    return 0 if taking else NOT_TAKING


def snapshot(name: str) -> Snapshot | None:
    """Return what the pool shows in shared memory, or None if it has just ended."""
    from poolq.dashboard.sources import AttachedSource

    with suppress(PoolqError), closing(AttachedSource(name, os.environ)) as source:
        return source.snapshot()
    return None


def _fields(found: dict[str, Any], troubles: Sequence[Alert]) -> dict[str, object]:
    broker, keeper, refusal = found["broker"], found["keeper"], found["refusal"]
    templates = [
        f"g{one['generation']} {one['pid']}" + (f", spare {one['spare']}" if one["spare"] else "")
        for one in found["templates"]
    ]
    heard = "starting" if keeper["age"] is None else f"heard {amounts.span(keeper['age'])} ago"
    fields: dict[str, object] = {
        "pool": f"{found['pool']}, {_state(found)}",
        "generation": found["generation"] or "none yet",
        "master": f"{found['pid']}, up {amounts.span(found['uptime'])}",
        "keeper": f"{keeper['pid']}, {heard}" if keeper["pid"] else "none now",
        "logger": found["logger"]["pid"] or "none now",
        "template": "; ".join(templates) or "none",
        "engine": f"{broker['engine']}, {_broker(broker)}",
        "queues": ", ".join(found["queues"]) if found["queues"] else "all",
    }
    if troubles:
        fields["trouble"] = "\n".join(
            f"{one.subject} {one.verdict}: {one.text}" for one in troubles
        )
    if refusal:
        fields["last reload"] = f"refused: {refusal['reason']}\n{refusal['traceback']}".rstrip()
    return fields


def _state(found: dict[str, Any]) -> str:
    trial = found["trial"]
    if found["state"] == "starting" or not trial:
        return str(found["state"])
    if trial["starts_in"] is not None:
        return f"{found['state']}, loads g{trial['generation']} in {trial['starts_in']:.0f} s"
    reloading = f"reloading g{trial['generation']}"
    return reloading if found["state"] == "reloading" else f"{found['state']}, {reloading}"


def _broker(broker: dict[str, Any]) -> str:
    if broker["age"] is None:
        return "not reached yet"
    how = "reachable" if broker["reachable"] else "NOT reachable"
    return f"{how}, answered {amounts.span(broker['age'])} ago"
