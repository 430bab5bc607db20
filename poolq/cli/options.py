"""Options that commands share. The table of settings defines the flags of settings."""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol, TypeVar

import click

from poolq import config
from poolq.common.escaping import clean
from poolq.config import Config
from poolq.config.parsers import Parser
from poolq.config.settings import BY_NAME, SETTINGS, Setting
from poolq.engines.base import Engine
from poolq.errors import ConfigError, OptionError, PayloadError, Refused

T = TypeVar("T")


class Decorator(Protocol):
    """Returns the given command with more options."""

    def __call__(self, command: Callable[..., T], /) -> Callable[..., T]: ...


ENGINE_FLAGS = ("engine", "namespace")
JSON = "poolq.json"  # the key in the `meta` of click's context
RUN_FLAGS = tuple(setting.name for setting in SETTINGS if setting.flag)

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def _remember(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[JSON] = value


json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_remember, help="Print one JSON document."
)


def wants_json() -> bool:
    """Return whether the running command was given --json."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(JSON))


def reject_empty(
    ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """Reject an empty text, such as the value of an unset variable in a script."""
    for one in value if isinstance(value, tuple) else [value]:
        if one is not None and not one.strip():
            is_option = isinstance(param, click.Option)
            name = param.opts[0] if is_option else param.human_readable_name.strip("[].")
            raise click.UsageError(f"{name} is {one!r}; give it a text", ctx)
    return value


def parsed_by(parse: Parser) -> Callable[[click.Context, click.Parameter, object], Any]:
    """Return a callback for an option: it reads the value with `parse`, a parser of settings."""

    def callback(ctx: click.Context, param: click.Parameter, value: object) -> object:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.UsageError(f"{param.opts[0]} is {value!r}; it {error}", ctx) from None

    return callback


@contextmanager
def usage() -> Iterator[None]:
    """Report an invalid option or payload as a mistake in the command line."""
    try:
        yield
    except (OptionError, PayloadError) as error:
        raise click.UsageError(str(error), click.get_current_context(silent=True)) from None


def with_settings(*names: str, json: bool = True) -> Decorator:
    """Add the flags of these settings to a command, and --json if `json`. The command receives
    `settings: Config` and may call `wants_json`."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(command)
        def run(**kwargs: Any) -> T:
            flags = {name: kwargs.pop(f"set_{name}") for name in names}
            return command(settings=config.load(flags, warn=warn), **kwargs)

        flags = [_flag(BY_NAME[name]) for name in names]
        return with_options(run, *([json_option] if json else []), *flags)

    return decorate


def with_options(command: Callable[..., T], *options: Decorator) -> Callable[..., T]:
    """Add options, which the help shows in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def with_engine_and(*names: str, create: bool = False, json: bool = True) -> Decorator:
    """Add --engine, --namespace and the flags `names` to a command, and --json if `json`. The
    command receives `engine: Engine` and, if there are `names`, `settings: Config`. It raises
    ConfigError if the engine stores no jobs. Unless it may `create` the store, it raises
    StoreMissing if there is no store yet."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(command)
        def run(settings: Config, **kwargs: Any) -> T:
            with closing(open_storing(settings)) as engine:
                if names:
                    kwargs["settings"] = settings
                if not create:
                    engine.require_store()
                return command(engine=engine, **kwargs)

        return with_settings(*ENGINE_FLAGS, *names, json=json)(run)

    return decorate


with_engine = with_engine_and()
with_new_engine = with_engine_and(create=True)


def open_storing(settings: Config) -> Engine:
    """Return the configured engine. Raises ConfigError if it stores no jobs (sync, null)."""
    engine = config.open_engine(settings)
    if not engine.stores:
        place = settings.sources.get("engine", "code")
        raise ConfigError(
            f"{settings.engine} ({place}) stores no jobs; this command needs an engine that does;"
            " set POOLQ_ENGINE or --engine to sqlite, redis or database"
        )
    return engine


def _flag(setting: Setting) -> Decorator:
    text, name = setting.help.removesuffix("."), f"set_{setting.name}"
    if setting.switch:
        return click.option(setting.option, name, is_flag=True, default=None, help=f"{text}.")
    return click.option(
        setting.option,
        name,
        # An invalid engine URL is an error of the configuration, even in a flag.
        callback=None if setting.name == "engine" else parsed_by(setting.parse),
        metavar=setting.metavar,
        help=f"{text} (default: {setting.shown}).",
    )


def warn(text: str) -> None:
    """Print a message to stderr."""
    print_line(f"poolq: {' '.join(text.split())}", err=True)


def print_line(text: str, *, err: bool = False) -> None:
    """Print a line without control characters."""
    click.echo(clean(text), err=err)


def announce(engine: Engine, text: str) -> None:
    """Tell the pools of this host what the command has done, so that they log it."""
    from poolq.control import client

    context = click.get_current_context(silent=True)
    if context is not None:
        client.announce(engine, context.command_path.partition(" ")[2], text)


def require_terminal(reason: str) -> None:
    """Raise UsageError if nobody can answer a question. Its text begins with `reason`."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{reason} There is no terminal to ask on; give --yes",
            click.get_current_context(silent=True),
        )


def confirm(question: str, yes: bool, refusal: str = "nothing was changed") -> None:
    """Ask for confirmation unless `yes`. Raises Refused, or UsageError without a terminal."""
    if yes:
        return
    require_terminal(question)
    if not click.confirm(question, err=True):
        raise Refused(refusal)
