"""`poolq failed`: lists, retries and deletes failed jobs."""

from collections.abc import Iterable, Sequence
from functools import partial

import click

from poolq.cli import bulk, filters, job_ids, listing, options
from poolq.cli.bulk import Bodies
from poolq.cli.filters import Filters, Selection
from poolq.cli.group import Group
from poolq.cli.job import print_job
from poolq.config import Config
from poolq.engines.base import Engine, StoredJob
from poolq.errors import JobError, NotFound, PayloadError, UnknownJob
from poolq.jobs.message import MAX_ATTEMPTS, decode, with_fields
from poolq.monitor import job_history


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def failed(ctx: click.Context) -> object:
    """List failed jobs, or show, retry or forget some."""
    return None if ctx.invoked_subcommand else ctx.invoke(ls)


@failed.command()
@filters.filter_options("failed")
@listing.max_option
@options.json_option
@options.with_engine
def ls(engine: Engine, filters: Filters, limit: int, as_json: bool) -> int:
    """List failed jobs, the newest first."""
    return listing.show(engine, filters, limit, "failed", as_json)


@failed.command()
@click.argument("id", callback=options.reject_empty)
@options.json_option
@options.with_engine
def show(engine: Engine, id: str, as_json: bool) -> None:
    """Show a failed job with its error, traceback and history."""
    id = job_ids.resolve_one(engine, id)
    stored = engine.find(id)
    if stored is None or stored.status != "failed":
        state = job_history.NOT_STORED if stored is None else f"is {stored.status}"
        raise NotFound(f"job {id} is not a failed job; it {state}")
    print_job(stored, as_json)


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
    change = bulk.Change("retry", "retried", "retried", ("failed",), partial(_retry, engine))
    if attempts or fresh_options:
        revision = Revision(attempts, settings if fresh_options else None)
        change = change._replace(bodies=revision.bodies, refused=revision.refused)
    return bulk.run(engine, chosen, change)


@failed.command()
@filters.selection_options("failed")
@options.with_engine
def forget(engine: Engine, chosen: Selection) -> int:
    """Delete failed jobs.

    Asks before it deletes jobs that options select, unless --older-than is among them.
    """
    asks = chosen.filters.older_than is None
    return bulk.run(engine, chosen, bulk.Change(
        "forget", "forgot", "forgotten", ("failed",), lambda ids, _: engine.forget(ids), asks=asks
    ))  # fmt: skip


def _retry(engine: Engine, ids: Sequence[str], bodies: Bodies) -> list[str]:
    return engine.retry(ids, bodies, {id: decode(body).expires for id, body in bodies.items()})


class Revision:
    """Gives stored jobs other options: a number of attempts, or the options of their classes in the
    application of `settings`. `refused`: why a job stays as it is, by its id."""

    def __init__(self, attempts: int | None, settings: Config | None) -> None:
        from poolq.jobs import registry

        self._attempts = attempts
        self._known = registry.load(settings.app, settings.folder) if settings else None
        self._app = ", ".join(settings.app) if settings else ""
        self.refused: dict[str, str] = {}

    def bodies(self, jobs: Iterable[StoredJob]) -> dict[str, bytes]:
        """Return the new bodies by id, without the jobs that are refused."""
        found = {}
        for stored in jobs:
            try:
                found[stored.id] = self._body(stored.body)
            except (JobError, PayloadError) as error:
                self.refused[stored.id] = str(error)
        return found

    def _body(self, body: bytes) -> bytes:
        from poolq.jobs.job import options_of
        from poolq.jobs.message_template import with_options

        if self._known is not None:
            name = decode(body).job
            cls = self._known.get(name)
            if cls is None:
                raise UnknownJob(f"there is no job {name!r} in {self._app}")
            body = with_options(body, options_of(cls))
        return with_fields(body, {"attempts": self._attempts}) if self._attempts else body
