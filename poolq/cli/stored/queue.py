"""`poolq queue`: lists, pauses, resumes and empties queues."""

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

import click

from poolq.acts import on_queues
from poolq.cli import options, tables
from poolq.cli.group import Group
from poolq.cli.stored.progress import Progress
from poolq.engines.base import Engine, QueueCounts, Totals
from poolq.errors import NotFound
from poolq.monitor import amounts

#: The row for all queues that have been empty for a long time.
FORGOTTEN = "(forgotten)"
COUNTS = ("ready", "delayed", "parked", "running", "failed")
queue_argument = click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)


@click.group(cls=Group)
def queue() -> None:
    """List, pause, resume and empty queues."""


@queue.command()
@options.with_engine
def ls(engine: Engine) -> None:
    """List the queues with their counts. OLDEST is how long the oldest ready job has been due."""
    counts, counters = engine.counts(), dict(engine.totals())
    forgotten = counters.pop("", {})
    sums = {name: sum(getattr(one, name) for one in counts) for name in COUNTS}
    oldest = max((one.oldest for one in counts), default=0)
    total = QueueCounts("total", **sums, oldest=oldest)
    together: Counter[str] = Counter()
    for one in (*counters.values(), forgotten):
        together.update(one)
    document = {
        "queues": [  # `oldest` is in seconds; `counters` count from the first job
            one._asdict() | {"oldest": one.oldest / 1e6, "counters": counters.get(one.queue, {})}
            for one in counts
        ],
        "forgotten": forgotten,
        "total": {**sums, "oldest": oldest / 1e6, "counters": together},
    }
    rows = [*counts, QueueCounts(FORGOTTEN)] if forgotten else counts
    counters |= {FORGOTTEN: forgotten, "total": together}
    none = f"there is no queue in namespace {engine.namespace!r} yet"
    tables.show_list(document, _columns(counters), rows, none, {"paused": "warn"}, total)


def _columns(counters: Totals) -> list[tables.Column]:
    return [
        tables.Column("QUEUE", lambda one: one.queue, elastic=True),
        *(tables.Column(name.upper(), attrgetter(name), right=True) for name in COUNTS),
        tables.Column(
            "DONE", lambda one: counters.get(one.queue, {}).get("done", 0), right=True, rank=2
        ),
        tables.Column("OLDEST", lambda one: amounts.span(one.oldest / 1e6 or None), True, rank=1),
        tables.Column("STATE", lambda one: "paused" if one.paused else ""),
    ]


@queue.command()
@queue_argument
@options.with_new_engine
def pause(engine: Engine, queues: Sequence[str]) -> None:
    """Stop all pools from taking jobs of these queues."""
    known, names = {one.queue for one in engine.counts()}, list(dict.fromkeys(queues))
    for name in names:
        engine.pause(name)
        if name not in known:
            options.warn(f"there is no queue {name!r} yet; it will be paused from its first job on")
        options.announce(engine, f"queue {name} is paused")
    tables.show({"paused": names}, *(f"paused {name}" for name in names))


@queue.command()
@queue_argument
@options.with_engine
def resume(engine: Engine, queues: Sequence[str]) -> int:
    """Let all pools take jobs of these queues again."""
    paused = {one.queue: one.paused for one in engine.counts()}
    done = []
    for name in dict.fromkeys(queues):
        if name not in paused:
            options.warn(_no_queue(name, list(paused)))
            continue
        engine.resume(name)
        if paused[name]:
            options.announce(engine, f"queue {name} is resumed")
        done.append(name)
    lines = (f"resumed {name}" if paused[name] else f"{name} was not paused" for name in done)
    tables.show({"resumed": done}, *lines)
    return 0 if set(done) == set(queues) else 1


@queue.command()
@click.argument("queue", metavar="QUEUE")
@options.yes_option
@options.with_engine
def purge(engine: Engine, queue: str, yes: bool) -> None:
    """Delete the ready, delayed and parked jobs of a queue. Running and failed jobs stay."""
    known = {one.queue: one for one in engine.counts()}
    if queue not in known:
        raise NotFound(_no_queue(queue, list(known)))
    options.confirm(on_queues.purge_question(known[queue]), yes)
    with Progress("deleted") as progress:
        count = engine.purge(queue, lambda so_far: progress.add(so_far - progress.count))
    options.announce(engine, on_queues.purged(queue, count))
    tables.show({"queue": queue, "count": count}, f"purged {count} jobs of {queue}")


def _no_queue(name: str, known: Sequence[str]) -> str:
    return on_queues.unknown(name, known, "'poolq queue ls' lists them")
