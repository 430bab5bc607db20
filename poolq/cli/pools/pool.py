"""Commands for a running pool: `poolq pause | resume | scale | reload | drain | stop`.

`control/` finds the pool and defines the protocol; `status.py` shows the pool's state.
"""

import click

from poolq.acts.on_pools import request, scaling
from poolq.cli import tables
from poolq.cli.options import parsed_by, usage, with_settings
from poolq.config import Config
from poolq.config.parsers import duration
from poolq.errors import PoolqError

wait_option = click.option("--wait", is_flag=True, help="Wait until it is done.")


timeout_option = click.option(
    "--timeout", callback=parsed_by(duration()), metavar="SECONDS",
    help="Stop waiting after this time and exit with 75 (default: no limit).",
)  # fmt: skip


def _print(settings: Config, text: str, **facts: object) -> None:
    """Print what has happened to the pool, as a line or as a JSON document."""
    tables.show({"pool": settings.name, **facts}, f"pool {settings.name} {text}")


@click.command()
@with_settings("name")
def pause(settings: Config) -> None:
    """Stop a pool from taking new jobs.

    Running jobs finish. Other pools are not affected: use 'poolq queue pause' for all pools.
    """
    changed = request(settings.name, "pause")["changed"]
    text = f"takes no new jobs{'' if changed else ', as before'}"
    _print(settings, text, changed=changed)


@click.command()
@with_settings("name")
def resume(settings: Config) -> None:
    """Make a paused pool take jobs again."""
    changed = request(settings.name, "resume")["changed"]
    text = f"takes jobs{' again' if changed else '; it was not paused'}"
    _print(settings, text, changed=changed)


@click.command(context_settings={"ignore_unknown_options": True})  # -1 is an argument
@click.argument("workers", metavar="N|+N|-N")
@with_settings("name")
def scale(settings: Config, workers: str) -> None:
    """Set the number of workers to N, or change it by +N or -N.

    Surplus workers finish their current job, then exit.
    """
    with usage():
        change = scaling(workers)
    procs = request(settings.name, "scale", change)["procs"]
    text = f"is scaled to {procs} worker{'s' * (procs > 1)}"
    _print(settings, text, procs=procs)


@click.command()
@wait_option
@timeout_option
@with_settings("name")
def reload(settings: Config, wait: bool, timeout: float | None) -> None:
    """Reload the application code.

    One worker tries the new code first; if that fails, the old code keeps running. With --wait, the
    command exits with 0 if the new code is accepted, or with 1 and the reason if it is refused.
    """
    if not wait:
        number = request(settings.name, "reload")["generation"]
        text = f"is trying generation {number}"
    else:
        number = request(settings.name, "reload", {"wait": True}, timeout)["generation"]
        text = f"has accepted generation {number}; the other workers follow"
    _print(settings, text, generation=number, accepted=wait)


@click.command()
@wait_option
@timeout_option
@with_settings("name")
def drain(settings: Config, wait: bool, timeout: float | None) -> None:
    """End a pool when its running jobs have finished.

    It waits for the jobs however long they take; 'poolq stop' waits at most --stop-timeout.
    """
    code = _end_pool(settings, timeout, "drain", wait=wait)
    if code:
        raise PoolqError(f"pool {settings.name!r} ended with exit code {code}; its log says why")


@click.command()
@click.option("--now", is_flag=True, help="Kill running jobs and release them.")
@wait_option
@timeout_option
@with_settings("name")
def stop(settings: Config, now: bool, wait: bool, timeout: float | None) -> None:
    """Stop a pool.

    Jobs may finish within the pool's --stop-timeout; those that still run are killed and released.
    """
    _end_pool(settings, timeout, "stop", wait=wait, now=now)


def _end_pool(
    settings: Config, timeout: float | None, do: str, *, wait: bool, **more: object
) -> int:
    """End the pool. Returns its exit code, or 0 without `wait`."""
    if not wait:
        request(settings.name, do, more)
        _print(settings, "is draining", ended=False, exit_code=None)
        return 0
    code: int = request(settings.name, do, {**more, "wait": True}, timeout)["code"]
    _print(settings, "has ended", ended=True, exit_code=code)
    return code
