"""`poolq nodes`: all pools of the namespace, on all hosts."""

import click

from poolq.cli.options import with_engine
from poolq.cli.tables import Column, show_list
from poolq.engines.base import Engine
from poolq.monitor import amounts

FIELDS = ("pool", "host", "workers", "busy", "beat", "poolq", "python", "node", "queues")
COLUMNS = (
    Column("POOL", lambda one: one.pool or None, elastic=True),
    Column("HOST", lambda one: one.host or None, elastic=True),
    Column("WORKERS", lambda one: one.workers, right=True),
    Column("BUSY", lambda one: one.busy, right=True),
    Column("BEAT", lambda one: amounts.span(one.beat), right=True),
    Column("POOLQ", lambda one: one.poolq or None, rank=1),
    Column("PYTHON", lambda one: one.python or None, rank=2),
    Column("NODE", lambda one: one.node, rank=3),
)


@click.command()
@with_engine
def nodes(engine: Engine) -> None:
    """List the pools that share the jobs, as of their last heartbeat.

    BEAT is the time since then. A pool without a heartbeat for --node-ttl is considered dead,
    and the others recover its jobs.
    """
    from poolq.monitor import node_info

    now = engine.now()
    found = [node_info.view(one, now) for one in engine.nodes()]
    found.sort(key=lambda one: (one.host, one.pool, one.node))
    document = [{name: getattr(one, name) for name in FIELDS} for one in found]
    none = f"no pool runs in namespace {engine.namespace!r}"
    show_list({"nodes": document}, COLUMNS, found, none)
