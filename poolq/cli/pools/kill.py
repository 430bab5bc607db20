"""`poolq kill`: ends a running job of a pool on this host by killing its worker.

The command asks the pool which job a worker runs, and the request names this job. If the job ends
before the pool obeys, nothing is killed.
"""

import click

from poolq.acts import on_pools
from poolq.acts.on_pools import BusyWorker
from poolq.cli import options, tables
from poolq.cli.options import with_settings
from poolq.config import Config
from poolq.control.client import reading


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
    with reading(settings.name):
        _kill(settings.name, target, give_back=give_back, yes=yes)


def _kill(pool: str, target: str, *, give_back: bool, yes: bool) -> None:
    workers = [
        BusyWorker(one["slot"], one["pid"], one["job"], one["id"], one["since"])
        for one in on_pools.request(pool, "status")["workers"]
    ]
    worker = on_pools.find_worker(workers, target)
    what = "put the job back into its queue" if give_back else "cancel the job"
    options.confirm(f"Kill {worker}, and {what}?", yes, "nothing was killed")
    named = {"id": worker.id, "worker": worker.pid, "give_back": give_back}
    killed = on_pools.request(pool, "kill", named)
    facts = {name: killed[name] for name in ("worker", "pid", "job", "id")}
    facts |= {"pool": pool, "end": "given back" if give_back else "cancelled"}
    tables.show(facts, on_pools.killed(killed, give_back=give_back))
