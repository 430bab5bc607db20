"""`poolq failed`: lists, retries and deletes failed jobs.

Jobs are selected either by id, or by the options --queue, --older-than and --all. Options select
only jobs that failed before the command started, and process these jobs in pages.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import click

from poolq.cli import options, records
from poolq.cli.group import Group
from poolq.cli.job import print_job
from poolq.common.durations import micros
from poolq.engines.base import Engine, StoredJob
from poolq.errors import DurationError, NotFound
from poolq.jobs.message import name_and_queue
from poolq.monitor import times

T = TypeVar("T")
PAGE_SIZE = 1000
MAX_LISTED = 1_000_000


class Selection(NamedTuple):
    """Which failed jobs are selected; `older_than` is in microseconds."""

    ids: tuple[str, ...]
    queue: str | None
    older_than: int | None
    everything: bool

    @property
    def many(self) -> bool:
        return self.everything or self.queue is not None or self.older_than is not None


def _age(ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else micros(value, "--older-than")
    except DurationError as error:
        raise click.UsageError(str(error), ctx) from None


queue_option = click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
age_option = click.option(
    "--older-than", metavar="AGE", callback=_age, help='Only jobs that failed over AGE ago ("30d").'
)


def selection_options(command: Callable[..., T]) -> Callable[..., T]:
    for decorate in (
        click.option("--all", "everything", is_flag=True, help="All failed jobs."),
        age_option,
        queue_option,
        click.argument("ids", metavar="[ID]...", nargs=-1, callback=options.reject_empty),
    ):
        command = decorate(command)
    return command


@click.group(cls=Group)
def failed() -> None:
    """Show, retry or forget failed jobs."""


@failed.command()
@queue_option
@age_option
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LISTED),
    default=100,
    show_default=True,
    help="Maximum number.",
)
@options.json_option
@options.with_engine
def ls(
    engine: Engine, queue: str | None, older_than: int | None, limit: int, as_json: bool
) -> None:
    """List failed jobs, the newest first."""
    before = None if older_than is None else engine.now() - older_than
    found = engine.failed(queue, before, limit + 1)
    shown = found[:limit]
    from poolq.cli import tables

    if as_json:
        tables.print_json({"failed": list(map(records.job, shown)), "more": len(found) > limit})
    elif shown:
        names = ("ID", "QUEUE", "JOB", "FAILED")
        columns = [*map(tables.Column, names), tables.Column("ERROR", elastic=True)]
        tables.print_table(columns, list(map(_row, shown)))
    else:
        every = queue is None and before is None
        options.warn("no job has failed" if every else "no failed job matches")
    if len(found) > limit:
        options.warn(f"there are more than {limit}; use --limit to show more")


def _row(stored: StoredJob) -> tuple[object, ...]:
    name = name_and_queue(stored.body)[0]
    return stored.id, stored.queue, name, times.local(stored.at), records.last_error(stored)


@failed.command()
@click.argument("id", callback=options.reject_empty)
@options.json_option
@options.with_engine
def show(engine: Engine, id: str, as_json: bool) -> None:
    """Show a failed job with its error, traceback and history."""
    stored = engine.find(id)
    if stored is None or stored.status != "failed":
        state = "is done or never existed" if stored is None else f"is {stored.status}"
        raise NotFound(f"job {id} is not a failed job; it {state}")
    print_job(stored, as_json)


@failed.command()
@selection_options
@options.with_engine
def retry(
    engine: Engine, ids: tuple[str, ...], queue: str | None, older_than: int | None,
    everything: bool,
) -> int:  # fmt: skip
    """Put failed jobs back into their queues.

    All of their attempts are available again.
    """
    return _each(engine, Selection(ids, queue, older_than, everything), engine.retry, "retried")


@failed.command()
@selection_options
@options.yes_option
@options.with_engine
def forget(
    engine: Engine, ids: tuple[str, ...], queue: str | None, older_than: int | None,
    everything: bool, yes: bool,
) -> int:  # fmt: skip
    """Delete failed jobs. Asks before it deletes all of them, or all of a queue."""
    selection = Selection(ids, queue, older_than, everything)
    if selection.many and not ids and older_than is None:
        options.confirm(f"Delete all failed jobs{f' of queue {queue!r}' if queue else ''}?", yes)
    return _each(engine, selection, engine.forget, "forgot")


def _each(
    engine: Engine, selection: Selection, act: Callable[[Sequence[str]], list[str]], done: str
) -> int:
    if bool(selection.ids) == selection.many:
        context = click.get_current_context()
        raise click.UsageError("give either ids or options (--queue, --older-than, --all)", context)
    if selection.many:
        count = sum(len(act(page)) for page in _pages(engine, selection))
        click.echo(f"{done} {count} job{'s' * (count != 1)}")
        return 0
    ids = list(dict.fromkeys(selection.ids))
    found: set[str] = set()
    for page in itertools.batched(ids, PAGE_SIZE) if hasattr(itertools, "batched") else [ids]:
        found.update(act(list(page)))
    return options.report_ids(
        done,
        [id for id in ids if id in found],
        [id for id in ids if id not in found],
        "is not a failed job",
    )


def _pages(engine: Engine, selection: Selection) -> Iterator[list[str]]:
    """Yield pages of ids. The caller must process each page before it requests the next."""
    before = engine.now() - (selection.older_than or 0)
    seen: set[str] = set()
    while True:
        page = [one.id for one in engine.failed(selection.queue, before, PAGE_SIZE)]
        fresh = [id for id in page if id not in seen]
        if not fresh:
            return
        seen.update(fresh)
        yield fresh
