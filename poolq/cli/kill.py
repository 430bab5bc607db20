"""`poolq kill`: ends a running job of a pool on this host by killing its worker.

The command asks the pool which job a worker runs, and the request names this job. If the job ends
before the pool obeys, nothing is killed.
"""

import re
from collections.abc import Sequence
from typing import Any

import click

from poolq.cli import options
from poolq.cli.options import print_line, with_settings
from poolq.cli.pool import request
from poolq.config import Config
from poolq.control.client import reading
from poolq.errors import NotFound, Refused
from poolq.monitor import amounts

#: A worker's number or pid. An id of a job begins with 0, or is longer.
WORKER = re.compile(r"[1-9]\d{0,6}", re.ASCII)
MIN_PREFIX = 4  # characters of an id that select a job


@click.command()
@click.argument("target", metavar="WORKER|ID", callback=options.reject_empty)
@click.option("--give-back", is_flag=True, help="Put the job back into its queue, to run again.")
@options.yes_option
@options.json_option
@with_settings("name")
def kill(settings: Config, target: str, give_back: bool, yes: bool, as_json: bool) -> None:
    """End a running job by killing its worker.

    WORKER is the worker's number or pid in 'poolq status', and ID the job's id or its beginning.
    The job is cancelled: it is deleted and does not run again. With --give-back it returns to the
    head of its queue instead, without using an attempt. The worker is replaced.
    """
    with reading(settings.name):
        _kill(settings, target, give_back=give_back, yes=yes, as_json=as_json)


def _kill(settings: Config, target: str, *, give_back: bool, yes: bool, as_json: bool) -> None:
    worker = find_worker(request(settings, "status")["workers"], target)
    what = "put the job back into its queue" if give_back else "cancel the job"
    who = f"worker {worker['slot']} (pid {worker['pid']})"
    question = (
        f"Kill {who}, which has run {worker['job']} {worker['id']} for"
        f" {amounts.span(worker['since'])}, and {what}?"
    )
    options.confirm(question, yes, "nothing was killed")
    named = {"id": worker["id"], "worker": worker["pid"], "give_back": give_back}
    killed = request(settings, "kill", **named)
    end = "given back" if give_back else "cancelled"
    if as_json:
        from poolq.cli import tables

        facts = {name: killed[name] for name in ("worker", "pid", "job", "id")}
        tables.print_json({"pool": settings.name, **facts, "end": end})
        return
    print_line(
        f"worker {killed['worker']} (pid {killed['pid']}) was killed;"
        f" its job {killed['job']} {killed['id']} is {end}"
    )


def find_worker(workers: Sequence[dict[str, Any]], target: str) -> dict[str, Any]:
    """Return the only worker that has this number or pid, or that runs the job whose id begins with
    `target`. Raises NotFound if there is none, Refused if there are several."""
    if WORKER.fullmatch(target):
        number = int(target)
        known = [one for one in workers if one["slot"] == number]
        known = known or [one for one in workers if one["pid"] == number]
        found = [one for one in known if one["id"]]
        missing = f"worker {target} runs no job" if known else f"there is no worker {target}"
    else:
        found = [one for one in workers if one["id"] and one["id"].startswith(target)]
        if found and len(target) < MIN_PREFIX and found[0]["id"] != target:
            raise NotFound(f"{target!r} is too short for a job's id; give {MIN_PREFIX} characters")
        missing = f"no worker of this pool runs job {target}"
    if not found:
        raise NotFound(f"{missing}; 'poolq status' lists the workers and their jobs")
    if len(found) > 1:
        choices = ", ".join(f"{one['id']} (pid {one['pid']})" for one in found)
        raise Refused(f"{target} is ambiguous; it may be {choices}")
    return found[0]
