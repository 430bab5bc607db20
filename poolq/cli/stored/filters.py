"""The options that select jobs. They are the same for all commands that list or change jobs."""

import functools
from collections.abc import Callable, Iterator, Sequence
from time import time_ns
from typing import Any, NamedTuple, TypeVar

import click

from poolq.acts.filters import Filters
from poolq.cli.options import Decorator, reject_empty, usage, with_options, yes_option

T = TypeVar("T")


#: The options except --state, in the order of the help, each with its metavar and help.
TEXTS = {
    "queue": ("NAME", "Only jobs of this queue."),
    "job": ("NAME", "Only jobs of this name."),
    "error": ("TEXT", "Only jobs whose last error contains TEXT, in any case."),
    "since": ("TIME", 'Only jobs since TIME: "2h" ago, "yesterday 09:00", ISO 8601.'),
    "older-than": ("AGE", 'Only jobs older than AGE: "30d".'),
    "limit-key": ("KEY", "Only jobs that wait for the rate limit of this key."),
}


def _options(states: Sequence[str]) -> Iterator[Decorator]:
    """Yield the options. --state and --limit-key are left out if all jobs have the same state."""
    for name, (metavar, text) in TEXTS.items():
        if name == "error" and len(states) > 1:
            kind = click.Choice(states)
            yield click.option("--state", "status", type=kind, help="Only jobs in this state.")
        if name != "limit-key" or len(states) > 1:
            yield click.option(f"--{name}", metavar=metavar, callback=reject_empty, help=text)


def filter_options(*states: str) -> Decorator:
    """Add the options to a command, which receives `filters: Filters`. `states`: the states that
    the command's jobs can have."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(command)
        def run(**kwargs: Any) -> T:
            given = {name: kwargs.pop(name) for name in Filters._fields if name in kwargs}
            filters = Filters(**{"status": states[0] if len(states) == 1 else None, **given})
            with usage():
                filters.at(time_ns() // 1000)
            return command(filters=filters, **kwargs)

        return with_options(run, *_options(states))

    return decorate


class Selection(NamedTuple):
    """Which jobs a command changes, and how. `ids`: the ids as given; if there are none, `filters`
    select the jobs. `preview`: only show the jobs (--dry-run). `yes`: do not ask first."""

    ids: tuple[str, ...]
    filters: Filters
    preview: bool
    yes: bool


def selection_options(*states: str, asks: bool = True) -> Decorator:
    """Add ids, the filters, --all and --dry-run to a command that changes jobs, and --yes
    if it `asks`. The command receives `chosen: Selection`."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(command)
        def run(
            *, ids: tuple[str, ...], everything: bool, preview: bool,
            filters: Filters, yes: bool = False, **kwargs: Any,
        ) -> T:  # fmt: skip
            none = Filters(status="failed") if states == ("failed",) else Filters()
            if bool(ids) == (everything or filters != none):
                text = "give either job ids, or options that select jobs such as --queue and --all"
                raise click.UsageError(text, click.get_current_context())
            chosen = Selection(ids, filters, preview, yes)
            return command(chosen=chosen, **kwargs)

        return with_options(
            run,
            click.argument("ids", metavar="[ID]...", nargs=-1, callback=reject_empty),
            filter_options(*states),
            click.option("--all", "everything", is_flag=True, help="All of these jobs."),
            click.option("--dry-run", "preview", is_flag=True, help="Only show what would change."),
            *([yes_option] if asks else []),
        )

    return decorate
