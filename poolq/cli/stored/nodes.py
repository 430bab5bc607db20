"""`poolq nodes`: all pools of the namespace, on all hosts."""

import click

from poolq.cli import tables
from poolq.cli.options import json_option, warn, with_engine
from poolq.engines.base import Engine
from poolq.monitor import amounts

COLUMNS = ("pool", "host", "workers", "busy", "beat", "poolq", "python", "node")
#: A terminal that is too narrow lacks these columns, the highest rank first.
RANKS = {"poolq": 1, "python": 2, "node": 3}
NUMERIC_COLUMNS = ("workers", "busy", "beat")


@click.command()
@json_option
@with_engine
def nodes(engine: Engine, as_json: bool) -> None:
    """List the pools that share the jobs, as of their last heartbeat.

    BEAT is the time since then. A pool without a heartbeat for --node-ttl is considered dead,
    and the others recover its jobs.
    """
    from poolq.monitor import reader
    from poolq.monitor.broker_status import node_status

    now = engine.now()
    found = [reader.node(node_status(one, now)) for one in engine.nodes()]
    found.sort(key=lambda one: (one.host, one.pool, one.node))
    if as_json:
        names = (*COLUMNS, "queues")
        shown = [{name: getattr(one, name) for name in names} for one in found]
        tables.print_json({"nodes": shown})
        return
    if not found:
        warn(f"no pool runs in namespace {engine.namespace!r}")
        return
    columns = [
        tables.Column(
            name.upper(), name in NUMERIC_COLUMNS, name in ("pool", "host"), rank=RANKS.get(name, 0)
        )
        for name in COLUMNS
    ]
    rows = [
        (
            one.pool or "-", one.host or "-", one.workers,
            "-" if one.busy is None else one.busy,
            amounts.span(one.beat),
            one.poolq or "-", one.python or "-", one.node,
        )
        for one in found
    ]  # fmt: skip
    tables.print_table(columns, rows)
