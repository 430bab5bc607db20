"""`poolq job dispatch`: a producer on the command line.

It loads the application, so that a job gets the options of its class, as if the application itself
had dispatched it.
"""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import click

from poolq.cli import tables
from poolq.cli.options import usage, wants_json, warn, with_settings
from poolq.common.names import suggestion
from poolq.config import Config
from poolq.engines.base import Engine
from poolq.errors import JobFailed, NotFound, PayloadError, PoolqError


@click.command()
@click.argument("name")
@click.argument("payload", metavar="JSON", default="{}")
@click.option("--queue", metavar="NAME", help="Queue, instead of the job's own.")
@click.option("--delay", metavar="TIME", help='When to run: "30s", "tomorrow 09:00", ISO 8601.')
@click.option("--attempts", type=int, metavar="N", help="Attempts, instead of the job's own.")
@click.option("--retry-after", metavar="STEPS", help='"10s", or one delay per retry: "1s,10s,1m".')
@click.option("--by-name", is_flag=True, help="Do not load the application; use poolq's defaults.")
@with_settings("app", "engine", "namespace")
def dispatch(
    settings: Config, name: str, payload: str, by_name: bool, retry_after: str | None,
    **given: Any,
) -> None:  # fmt: skip
    """Dispatch the job NAME ("jobs:SendMail").

    The payload is JSON: {} if it is missing, or read from stdin if it is -. The job's options are
    those of its class, so the application is loaded if there is one. Prints the job's id.
    """
    read = read_json(payload)
    options = {option: value for option, value in given.items() if value is not None}
    if retry_after is not None:
        steps = [step.strip() for step in retry_after.split(",")]
        options["retry_after"] = steps[0] if len(steps) == 1 else steps
    with producing(settings) as engine:
        to = None if by_name else find_job(settings, name)
        try:
            id = _send(to, name, read, options)
        except PoolqError:
            raise
        except Exception as error:
            if engine.stores:
                raise
            # The sync engine ran the job, and this is what its run() raised.
            raise JobFailed(f"job {name} failed: {type(error).__name__}: {error}") from error
    tables.show({"id": str(id), "new": id.new}, str(id))
    if not (wants_json() or id.new):
        warn("nothing was dispatched: this job has the same unique key")


@contextmanager
def producing(settings: Config) -> Iterator[Engine]:
    """Let this process dispatch to the engine of the settings. An invalid option or payload is
    reported as a mistake in the command line."""
    from poolq.jobs.producer import connect

    with closing(connect(settings.engine, settings.namespace)) as engine, usage():
        yield engine


def _send(to: Any, name: str, payload: Any, options: dict[str, Any]) -> Any:
    from poolq.jobs.dispatch import dispatch as dispatch_by_name

    if to is None:
        return dispatch_by_name(name, payload, **options)
    job = to.set(**options)
    if job.bind is None:
        return job.dispatch(payload)
    try:
        arguments = job.bind(payload)
    except TypeError as error:
        raise PayloadError(f"{error}; the payload must hold the arguments by name") from None
    return job.dispatch(**arguments)


def find_job(settings: Config, name: str) -> Any:
    """Return the job's class or function job, or None if there is no application to load."""
    if not settings.has_app() and settings.sources["app"] == "default":
        warn(f"there is no module {settings.app[0]} in {settings.folder}; using poolq's defaults")
        return None
    from poolq.jobs.function_job import FunctionJob
    from poolq.jobs.registry import load

    registry = load(settings.app, settings.folder)
    found = registry.get(name)
    if found is None:
        hint = suggestion(name, registry.names())
        raise NotFound(
            f"there is no job {name!r} in {', '.join(settings.app)}; {hint}{' ' * bool(hint)}use"
            " --by-name to dispatch it anyway, for workers that define it"
        )
    beside = getattr(sys.modules.get(found.__module__), found.__qualname__, None)
    return beside if isinstance(beside, FunctionJob) and beside.job is found else found


def read_json(text: str) -> Any:
    import json

    if text == "-":
        text = sys.stdin.read()
    try:
        return json.loads(text)
    except RecursionError:
        raise click.UsageError("the payload is nested too deeply for JSON") from None
    except ValueError as error:  # also if the text is not UTF-8, or a number has over 4,300 digits
        reason = str(error).partition(";")[0]
        raise click.UsageError(
            f"the payload is not JSON: {reason}", click.get_current_context()
        ) from None
