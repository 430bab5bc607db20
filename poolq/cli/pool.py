"""Commands for a running pool: `poolq pause | resume | scale | reload | drain | stop`.

`control/` finds the pool and defines the protocol; `status.py` shows the pool's state.
"""

import os
import re
from typing import Any

import click

from poolq.cli.options import json_option, print_line, with_settings
from poolq.config import Config
from poolq.config.parsers import duration
from poolq.control.client import ControlClient
from poolq.errors import PoolqError, Refused

wait_option = click.option("--wait", is_flag=True, help="Wait until it is done.")


def _seconds(ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        found = duration()(value)
    except ValueError as error:
        raise click.UsageError(f"--timeout is {value!r}; it {error}", ctx) from None
    assert isinstance(found, float)
    return found


timeout_option = click.option(
    "--timeout", callback=_seconds, metavar="SECONDS",
    help="Stop waiting after this time and exit with 75 (default: no limit).",
)  # fmt: skip


def connect(settings: Config) -> ControlClient:
    return ControlClient(settings.name, os.environ)


def request(settings: Config, do: str, **more: object) -> dict[str, Any]:
    """Send a request and return the answer. Raises Refused."""
    return accepted(settings, connect(settings).request(do, more))


def accepted(settings: Config, answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request. Raises Refused."""
    if not answer["ok"]:
        raise Refused(f"pool {settings.name!r}: {answer['error']}")
    return answer


def _print(settings: Config, text: str, as_json: bool, **facts: object) -> None:
    """Print what has happened to the pool, as a line or as a JSON document."""
    if as_json:
        from poolq.cli import tables

        tables.print_json({"pool": settings.name, **facts})
    else:
        print_line(f"pool {settings.name} {text}")


@click.command()
@json_option
@with_settings("name")
def pause(settings: Config, as_json: bool) -> None:
    """Stop a pool from taking new jobs.

    Running jobs finish. Other pools are not affected: use 'poolq queue pause' for all pools.
    """
    changed = request(settings, "pause")["changed"]
    text = f"takes no new jobs{'' if changed else ', as before'}"
    _print(settings, text, as_json, changed=changed)


@click.command()
@json_option
@with_settings("name")
def resume(settings: Config, as_json: bool) -> None:
    """Make a paused pool take jobs again."""
    changed = request(settings, "resume")["changed"]
    text = f"takes jobs{' again' if changed else '; it was not paused'}"
    _print(settings, text, as_json, changed=changed)


@click.command(context_settings={"ignore_unknown_options": True})  # -1 is an argument
@click.argument("workers", metavar="N|+N|-N")
@json_option
@with_settings("name")
def scale(settings: Config, workers: str, as_json: bool) -> None:
    """Set the number of workers to N, or change it by +N or -N.

    Surplus workers finish their current job, then exit.
    """
    if not re.fullmatch(r"[+-]?\d{1,6}", workers, re.ASCII):
        raise click.UsageError(
            f"{workers!r} is not a number of workers; give 4, +1 or -1",
            click.get_current_context(silent=True),
        )
    key = "procs" if workers[0].isdecimal() else "by"
    procs = request(settings, "scale", **{key: int(workers)})["procs"]
    text = f"is scaled to {procs} worker{'s' * (procs > 1)}"
    _print(settings, text, as_json, procs=procs)


@click.command()
@wait_option
@timeout_option
@json_option
@with_settings("name")
def reload(settings: Config, wait: bool, timeout: float | None, as_json: bool) -> None:
    """Reload the application code.

    One worker tries the new code first; if that fails, the old code keeps running. With --wait, the
    command exits with 0 if the new code is accepted, or with 1 and the reason if it is refused.
    """
    if not wait:
        number = request(settings, "reload")["generation"]
        text = f"is trying generation {number}"
    else:
        answer = connect(settings).request("reload", {"wait": True}, timeout)
        number = accepted(settings, answer)["generation"]
        text = f"has accepted generation {number}; the other workers follow"
    _print(settings, text, as_json, generation=number, accepted=wait)


@click.command()
@wait_option
@timeout_option
@json_option
@with_settings("name")
def drain(settings: Config, wait: bool, timeout: float | None, as_json: bool) -> None:
    """End a pool when its running jobs have finished.

    It waits for the jobs however long they take; 'poolq stop' waits at most --stop-timeout.
    """
    code = _end_pool(settings, timeout, "drain", as_json=as_json, wait=wait)
    if code:
        raise PoolqError(f"pool {settings.name!r} ended with exit code {code}; its log says why")


@click.command()
@click.option("--now", is_flag=True, help="Kill running jobs and release them.")
@wait_option
@timeout_option
@json_option
@with_settings("name")
def stop(settings: Config, now: bool, wait: bool, timeout: float | None, as_json: bool) -> None:
    """Stop a pool.

    Jobs may finish within the pool's --stop-timeout; those that still run are killed and released.
    """
    _end_pool(settings, timeout, "stop", as_json=as_json, wait=wait, now=now)


def _end_pool(
    settings: Config, timeout: float | None, do: str, *, as_json: bool, wait: bool, **more: object
) -> int:
    """End the pool. Returns its exit code, or 0 without `wait`."""
    line = connect(settings)
    if not wait:
        accepted(settings, line.request(do, more))
        _print(settings, "is draining", as_json, ended=False, exit_code=None)
        return 0
    answer = accepted(settings, line.request(do, {**more, "wait": True}, timeout))
    line.wait_until_gone()
    code: int = answer["code"]
    _print(settings, "has ended", as_json, ended=True, exit_code=code)
    return code
