"""`poolq failed`: lists, retries and deletes failed jobs."""

import click

from poolq.acts import on_jobs
from poolq.acts.filters import Filters
from poolq.cli import options
from poolq.cli.group import Group
from poolq.cli.stored import bulk, filters, listing
from poolq.cli.stored.filters import Selection
from poolq.cli.stored.job import find, print_job
from poolq.config import Config
from poolq.engines.base import Engine
from poolq.errors import NotFound
from poolq.jobs.message import MAX_ATTEMPTS
from poolq.monitor import job_history


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def failed(ctx: click.Context) -> object:
    """List failed jobs, or show, retry or forget some."""
    return None if ctx.invoked_subcommand else ctx.invoke(ls)


@failed.command()
@filters.filter_options("failed")
@listing.max_option
@options.with_engine
def ls(engine: Engine, filters: Filters, limit: int) -> int:
    """List failed jobs, the newest first."""
    return listing.show(engine, filters, limit, "failed")


@failed.command()
@click.argument("id", callback=options.reject_empty)
@options.with_engine
def show(engine: Engine, id: str) -> None:
    """Show a failed job with its error, traceback and history."""
    id, stored = find(engine, id)
    if stored is None or stored.status != "failed":
        state = job_history.NOT_STORED if stored is None else f"is {stored.status}"
        raise NotFound(f"job {id} is not a failed job; it {state}")
    print_job(stored)


@failed.command()
@filters.selection_options("failed", asks=False)
@click.option(
    "--attempts", type=click.IntRange(1, MAX_ATTEMPTS), metavar="N",
    help="Give the jobs N attempts instead of their own number.",
)  # fmt: skip
@click.option(
    "--fresh-options",
    is_flag=True,
    help="Take the options from the jobs' classes as they are now, not as they were dispatched.",
)
@options.with_engine_and("app")
def retry(
    engine: Engine, settings: Config, chosen: Selection, attempts: int | None, fresh_options: bool
) -> int:
    """Put failed jobs back into their queues.

    All of their attempts are available again. A job keeps the options that it was dispatched with,
    unless --attempts or --fresh-options is given; the latter loads the application.
    """
    act = on_jobs.RETRY
    if attempts or fresh_options:
        from poolq.acts.revising import Revision

        act = act._replace(revise=Revision(attempts, settings if fresh_options else None))
    return bulk.run(engine, chosen, act)


@failed.command()
@filters.selection_options("failed")
@options.with_engine
def forget(engine: Engine, chosen: Selection) -> int:
    """Delete failed jobs.

    Asks before it deletes jobs that options select, unless --older-than is among them.
    """
    return bulk.run(engine, chosen, on_jobs.FORGET, asks=chosen.filters.older_than is None)
