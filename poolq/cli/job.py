"""`poolq job`: one job: show it, cancel it, dispatch it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from poolq.cli import records
from poolq.cli.group import Group
from poolq.cli.options import json_option, warn, with_engine, with_settings
from poolq.config import Config
from poolq.engines.base import Engine, Stored
from poolq.errors import NotFound
from poolq.message import Entry, entries, name_and_queue


@click.group(cls=Group)
def job() -> None:
    """Look at a job, cancel or dispatch one."""


@job.command()
@click.argument("id")
@json_option
@with_engine
def show(engine: Engine, id: str, as_json: bool) -> None:
    """Show a job wherever it is, with its history. Done jobs are counted, not kept."""
    stored = engine.find(id)
    if stored is None:
        raise NotFound(f"job {id} is done or was never there")
    print_job(stored, as_json)


def print_job(stored: Stored, as_json: bool) -> None:
    """Everything about a job."""
    from poolq.view import tables

    if as_json:
        tables.print_json(records.job(stored))
        return
    import msgspec

    payload, attempts = records.payload(stored.body)
    shown = payload if isinstance(payload, str) else msgspec.json.encode(payload).decode()
    when = {"running": "claimed", "failed": "failed"}.get(stored.status, "due")
    tried = f"{stored.state.attempt} of {'?' if attempts is None else attempts}"
    fields = {
        "id": stored.id,
        "job": name_and_queue(stored.body)[0],
        "queue": stored.queue,
        "status": stored.status + (", failing" if stored.state.failing else ""),
        when: tables.local(stored.at),
        "attempts": f"{tried} used",
        "crashes": stored.state.crashes,
        "worker": stored.worker or "-",
        "payload": shown,
    }
    history = entries(stored.state.history)
    if history:
        fields["history"] = "\n".join(map(_line, history))
        if history[-1].traceback:
            fields["traceback"] = history[-1].traceback.rstrip()
    tables.print_fields(fields)


def _line(line: Entry) -> str:
    from poolq.view import tables

    facts = [tables.local(line.at) if line.at else "-", line.cause]
    if line.attempt:
        facts.append(f"attempt {line.attempt}")
    if line.signal:
        facts.append(f"signal {line.signal}")
    if line.exit_code:
        facts.append(f"exit code {line.exit_code}")
    if line.worker:
        facts.append(f"on {line.worker}")
    return "  ".join(facts) + (f"  {tables.clean(line.error)}" if line.error else "")


@job.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@with_engine
def cancel(engine: Engine, ids: Sequence[str]) -> int:
    """Delete jobs that do not run yet: ready, delayed or parked ones."""
    code = 0
    for id in dict.fromkeys(ids):
        if engine.cancel(id):
            click.echo(f"cancelled {id}")
            continue
        code = 1
        stored = engine.find(id)
        if stored is None:
            warn(f"job {id} is done or was never there")
        elif stored.status == "failed":
            warn(f"job {id} has failed already; 'poolq failed forget {id}' deletes it")
        else:
            warn(f"job {id} is {stored.status}; only a job that does not run can be cancelled")
    return code


@job.command()
@click.argument("name")
@click.argument("payload", metavar="JSON", default="{}")
@click.option("--queue", metavar="NAME", help="Instead of the job's own.")
@click.option("--delay", metavar="TIME", help='"30s", "tomorrow 09:00", an ISO 8601 time.')
@click.option("--attempts", type=int, metavar="N", help="Instead of the job's own.")
@click.option("--retry-after", metavar="STEPS", help='"10s", or a step an attempt: "1s,10s,1m".')
@click.option("--by-name", is_flag=True, help="Do not load the application; use poolq's defaults.")
@with_settings("app", "engine", "namespace")
def dispatch(
    settings: Config, name: str, payload: str, by_name: bool, retry_after: str | None,
    **given: Any,
) -> int:  # fmt: skip
    """Dispatch the job NAME ("jobs:SendMail") with a JSON payload ({}; - reads it from stdin).

    Its options are those of its class, so the application is loaded, where there is one.
    Prints the job's id.
    """
    read = _json(payload)
    options = {option: value for option, value in given.items() if value is not None}
    if retry_after is not None:
        steps = [step.strip() for step in retry_after.split(",")]
        options["retry_after"] = steps[0] if len(steps) == 1 else steps
    import poolq.dispatch as producer

    producer.connect(settings.engine, settings.namespace)
    to = None if by_name else _job(settings, name)
    try:
        if to is None:
            id = producer.dispatch(name, read, **options)
        else:
            (id,) = producer.dispatch_many(to, [read], **options)
    finally:
        producer.engine().close()
    click.echo(id)
    return 0


def _job(settings: Config, name: str) -> Any:
    """The job's class; None where there is no application to load."""
    missing = not any(_exists(settings.folder, module) for module in settings.app)
    if missing and settings.sources["app"] == "default":
        warn(f"no module {settings.app[0]} in {settings.folder}: dispatched by name alone")
        return None
    import difflib

    from poolq import app

    registry = app.load(settings.app, settings.folder)
    found = registry.get(name)
    if found is None:
        near = difflib.get_close_matches(name, registry.names(), 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise NotFound(
            f"{', '.join(settings.app)} has no job {name!r}; {hint}--by-name dispatches it all the"
            " same, for workers that have it"
        )
    return found


def _exists(folder: Path, module: str) -> bool:
    path = folder.joinpath(*module.split("."))
    return path.is_dir() or path.with_name(f"{path.name}.py").is_file()


def _json(text: str) -> Any:
    import json

    if text == "-":
        text = sys.stdin.read()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(
            f"the payload is no JSON: {error.msg} at line {error.lineno} column {error.colno}:"
            f" {text.splitlines()[error.lineno - 1][:60] if text else ''!r}",
            click.get_current_context(),
        ) from None
    except RecursionError:
        raise click.UsageError("the payload is nested too deeply") from None
