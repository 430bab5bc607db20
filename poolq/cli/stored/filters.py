"""The options that select jobs. They are the same for all commands that list or change jobs."""

import functools
from collections.abc import Callable, Sequence
from time import time_ns
from typing import Any, NamedTuple, TypeVar

import click

from poolq.acts.filters import Filters
from poolq.cli.options import Decorator, json_option, reject_empty, usage, with_options, yes_option

T = TypeVar("T")


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
            "--since", metavar="TIME", callback=_not_empty,
            help='Only jobs since TIME: "2h" ago, "yesterday 09:00", ISO 8601.',
        ),
        click.option(
            "--older-than", metavar="AGE", callback=_not_empty,
            help='Only jobs older than AGE: "30d".',
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
            filters = Filters(**given)
            with usage():
                filters.at(time_ns() // 1000)
            return command(filters=filters, **kwargs)

        return with_options(run, *_options(states))

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

        return with_options(
            run,
            click.argument("ids", metavar="[ID]...", nargs=-1, callback=reject_empty),
            filter_options(*states),
            click.option("--all", "everything", is_flag=True, help="All of these jobs."),
            click.option("--dry-run", "preview", is_flag=True, help="Only show what would change."),
            *([yes_option] if asks else []),
            json_option,
        )

    return decorate
