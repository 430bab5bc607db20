"""The options that select jobs. They are the same for all commands that list or change jobs.

Their texts are checked when the command line is read. Ages count from the engine's clock, so they
become points in time (`Filters.job_filter`) only when the engine is open.
"""

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import click

from poolq.cli.options import Decorator, json_option, reject_empty, yes_option
from poolq.common.durations import micros, since
from poolq.engines.search import JobFilter
from poolq.errors import DurationError

T = TypeVar("T")
WAITING = ("ready", "delayed", "parked")
STATES = (*WAITING, "running", "failed")


class Filters(NamedTuple):
    """The values of the options; None if an option is not given. `older_than` is in microseconds,
    `since` a text that `durations.since` reads."""

    queue: str | None = None
    job: str | None = None
    status: str | None = None
    error: str | None = None
    since: str | None = None
    older_than: int | None = None
    limit_key: str | None = None

    @property
    def by_queue_only(self) -> bool:
        """Return whether no option but --queue and --state is given."""
        return all(one is None for one in self._replace(queue=None, status=None))

    @property
    def words(self) -> str:
        """Return the queue and the job's name as the end of a sentence."""
        job = f" named {self.job!r}" if self.job else ""
        return job + (f" in queue {self.queue!r}" if self.queue else "")

    def job_filter(self, now: int, status: str | None = None) -> JobFilter:
        """Return the filter of the jobs that are selected at `now`, in microseconds. `status`
        replaces a missing --state."""
        here = datetime.fromtimestamp(now / 1e6, UTC).astimezone()
        return JobFilter(
            queue=self.queue,
            job=self.job,
            status=self.status or status,
            error=self.error,
            since=None if self.since is None else since(self.since, here, "--since"),
            until=None if self.older_than is None else now - self.older_than,
            limit=self.limit_key,
        )


def _age(ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else micros(value, "--older-than")
    except DurationError as error:
        raise click.UsageError(str(error), ctx) from None


def _since(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    try:
        if value is not None:
            since(value, datetime.now().astimezone(), "--since")
    except DurationError as error:
        raise click.UsageError(str(error), ctx) from None
    return value


def _not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Reject an empty text, such as the value of an unset variable in a script."""
    if value is not None and not value.strip():
        raise click.UsageError(f"{param.opts[0]} is {value!r}; give it a text", ctx)
    return value


def _options(states: Sequence[str]) -> list[Decorator]:
    """Return the options. --state and --limit-key are left out if all jobs have the same state."""
    options: list[Decorator] = [
        click.option(
            "--queue", metavar="NAME", callback=_not_empty, help="Only jobs of this queue.",
        ),
        click.option("--job", metavar="NAME", callback=_not_empty, help="Only jobs of this name."),
        click.option(
            "--state", "status", type=click.Choice(states), help="Only jobs in this state.",
        ),
        click.option(
            "--error", metavar="TEXT", callback=_not_empty,
            help="Only jobs whose last error contains TEXT, in any case.",
        ),
        click.option(
            "--since", metavar="TIME", callback=_since,
            help='Only jobs since TIME: "2h" ago, "yesterday 09:00", ISO 8601.',
        ),
        click.option(
            "--older-than", metavar="AGE", callback=_age, help='Only jobs older than AGE: "30d".',
        ),
        click.option(
            "--limit-key", metavar="KEY", callback=_not_empty,
            help="Only jobs that wait for the rate limit of this key.",
        ),
    ]  # fmt: skip
    return options if len(states) > 1 else [*options[:2], *options[3:6]]


def filter_options(*states: str) -> Decorator:
    """Add the options to a command, which receives `filters: Filters`. `states`: the states that
    the command's jobs can have."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(command)
        def run(**kwargs: Any) -> T:
            given = {name: kwargs.pop(name) for name in Filters._fields if name in kwargs}
            return command(filters=Filters(**given), **kwargs)

        decorated: Callable[..., T] = run
        for option in reversed(_options(states)):
            decorated = option(decorated)
        return decorated

    return decorate


class Selection(NamedTuple):
    """Which jobs a command changes, and how: `ids` as given, or else `filters`. `preview`: whether
    it only shows them (--dry-run). `yes`: whether it asks nobody."""

    ids: tuple[str, ...]
    filters: Filters
    preview: bool
    yes: bool
    as_json: bool


def selection_options(*states: str, asks: bool = True) -> Decorator:
    """Add ids, the filters, --all, --dry-run and --json to a command that changes jobs, and --yes
    if it `asks`. The command receives `chosen: Selection`."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(command)
        def run(
            *, ids: tuple[str, ...], everything: bool, preview: bool, as_json: bool,
            filters: Filters, yes: bool = False, **kwargs: Any,
        ) -> T:  # fmt: skip
            if bool(ids) == (everything or any(one is not None for one in filters)):
                text = "give either job ids, or options that select jobs such as --queue and --all"
                raise click.UsageError(text, click.get_current_context())
            chosen = Selection(ids, filters, preview, yes, as_json)
            return command(chosen=chosen, **kwargs)

        decorated: Callable[..., T] = run
        for option in (
            json_option,
            *([yes_option] if asks else []),
            click.option("--dry-run", "preview", is_flag=True, help="Only show what would change."),
            click.option("--all", "everything", is_flag=True, help="All of these jobs."),
        ):
            decorated = option(decorated)
        decorated = filter_options(*states)(decorated)
        ids = click.argument("ids", metavar="[ID]...", nargs=-1, callback=reject_empty)
        return ids(decorated)

    return decorate
