"""Commands for a running pool: `poolq pause | resume | scale | reload | drain | stop | kill`.
`poolq health` is here for its help, and for the arguments that `health.early` does not handle.

`control/` finds the pool and defines the protocol; `status.py` shows the pool's state.
"""

import os

import click

from poolq.acts import on_pools
from poolq.acts.on_pools import BusyWorker, scaling
from poolq.cli import options, tables
from poolq.cli.options import parsed_by, usage, with_settings
from poolq.cli.pools.health import check
from poolq.config import Config
from poolq.config.parsers import duration
from poolq.control.client import reading, request
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
    changed = request(settings.name, os.environ, "pause")["changed"]
    text = f"takes no new jobs{'' if changed else ', as before'}"
    _print(settings, text, changed=changed)


@click.command()
@with_settings("name")
def resume(settings: Config) -> None:
    """Make a paused pool take jobs again."""
    changed = request(settings.name, os.environ, "resume")["changed"]
    text = f"takes jobs{' again' if changed else '; it was not paused'}"
    _print(settings, text, changed=changed)


@click.command(context_settings={"ignore_unknown_options": True})  # -1 is not an option
@click.argument("workers", metavar="N|+N|-N")
@with_settings("name")
def scale(settings: Config, workers: str) -> None:
    """Set the number of workers to N, or change it by +N or -N.

    Surplus workers finish their current job, then exit.
    """
    with usage():
        change = scaling(workers)
    procs = request(settings.name, os.environ, "scale", change)["procs"]
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
        number = request(settings.name, os.environ, "reload")["generation"]
        text = f"is trying generation {number}"
    else:
        number = request(settings.name, os.environ, "reload", {"wait": True}, timeout)["generation"]
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
        request(settings.name, os.environ, do, more)
        _print(settings, "is draining", ended=False, exit_code=None)
        return 0
    code: int = request(settings.name, os.environ, do, {**more, "wait": True}, timeout)["code"]
    _print(settings, "has ended", ended=True, exit_code=code)
    return code


@click.command()
@click.argument("target", metavar="WORKER|ID", callback=options.reject_empty)
@click.option("--give-back", is_flag=True, help="Put the job back into its queue, to run again.")
@options.yes_option
@with_settings("name")
def kill(settings: Config, target: str, give_back: bool, yes: bool) -> None:
    """End a running job by killing its worker.

    WORKER is the worker's number or pid in 'poolq status', and ID the job's id or its beginning.
    The job is cancelled: it is deleted and does not run again. With --give-back it returns to the
    head of its queue instead, without using an attempt. The worker is replaced.
    """
    # The request names the job. If the job ends before the pool obeys, nothing is killed.
    with reading(settings.name):
        workers = [
            BusyWorker(one["slot"], one["pid"], one["job"], one["id"], one["since"])
            for one in request(settings.name, os.environ, "status")["workers"]
        ]
        worker = on_pools.find_worker(workers, target)
        what = "put the job back into its queue" if give_back else "cancel the job"
        options.confirm(f"Kill {worker}, and {what}?", yes, "nothing was killed")
        named = {"id": worker.id, "worker": worker.pid, "give_back": give_back}
        killed = request(settings.name, os.environ, "kill", named)
        facts = {name: killed[name] for name in ("worker", "pid", "job", "id")}
        facts |= {"pool": settings.name, "end": "given back" if give_back else "cancelled"}
        tables.show(facts, on_pools.killed(killed, give_back=give_back))


@click.command()
@click.option("--live", "probe", flag_value="live", help="Check that the pool's processes run.")
@click.option("--ready", "probe", flag_value="ready", help="Check that the pool can run jobs.")
@with_settings("name", json=False)
def health(settings: Config, probe: str | None) -> int:
    """Report a pool's health to a probe.

    Give one of --live and --ready. Exits with 0 if it is healthy, with 1 and the reason if it is
    not, and with 69 if there is no such pool. The command asks the pool, never the broker.
    """
    if probe is None:
        context = click.get_current_context(silent=True)
        raise click.UsageError("give one of --live and --ready", context)
    return check(settings.name, probe)
