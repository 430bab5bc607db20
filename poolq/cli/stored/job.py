"""`poolq job`: lists, shows, dispatches, cancels and moves jobs."""

import os
from collections.abc import Sequence

import click

from poolq.acts import job_ids, on_jobs, on_queues
from poolq.acts.filters import Filters
from poolq.cli import tables
from poolq.cli.group import Group
from poolq.cli.options import (
    confirm,
    parsed_by,
    reject_empty,
    require_terminal,
    usage,
    wants_json,
    with_engine,
)
from poolq.cli.pools.status import snapshot
from poolq.cli.stored import bulk, filters, listing, records
from poolq.cli.stored.dispatch import dispatch
from poolq.cli.stored.filters import Selection
from poolq.common.durations import SECOND
from poolq.common.names import check_name
from poolq.config.parsers import duration
from poolq.engines.base import Engine, StoredJob
from poolq.engines.progress import JobProgress, progress_of
from poolq.engines.search import STATUSES, WAITING
from poolq.errors import NotFound
from poolq.jobs.message import entries, name_and_queue
from poolq.monitor import amounts, job_history
from poolq.monitor.snapshot import Snapshot
from poolq.system.runtime_folder import running_pools

LOGGED_DIGITS = 6  # how many digits of an id `poolq log` needs to find a job


@click.group(cls=Group)
def job() -> None:
    """List, show, dispatch, cancel or move jobs."""


job.add_command(dispatch)


@job.command()
@filters.filter_options(*STATUSES)
@listing.max_option
@with_engine
def ls(engine: Engine, filters: Filters, limit: int) -> int:
    """List jobs of all states with their payload.

    Each queue's waiting jobs are listed in the order in which they will run, failed jobs with the
    newest first. WHEN is when a running job was claimed, a failed job failed, or any other job is
    due.
    """
    return listing.show(engine, filters, limit, "jobs")


@job.command()
@click.argument("id", callback=reject_empty)
@with_engine
def show(engine: Engine, id: str) -> None:
    """Show a job in any state, with its history, and why it waits.

    Jobs that are done are not kept.
    """
    id, stored = find(engine, id)
    if stored is None:
        hint = f"; 'poolq log --job={id}' prints what a running pool's log still says of it"
        raise NotFound(f"job {id} {job_history.NOT_STORED}{hint * (len(id) >= LOGGED_DIGITS)}")
    found = [] if stored.status == "failed" else running_pools(os.environ)  # on this host
    pools = list(filter(None, map(snapshot, dict.fromkeys(one.name for one in found))))
    workers = ((pool.head, worker) for pool in pools for worker in pool.workers)
    here = next(((head, worker) for head, worker in workers if worker.id == id), None)
    progress = here[1].progress if here else None
    if stored.status == "running" and progress is None:
        progress = progress_of(engine.nodes(), id)
    worker = f"worker {here[1].slot} of pool {here[0].pool}" if here else stored.worker
    print_job(stored, _reason(engine, stored, pools), progress, worker)


def find(engine: Engine, id: str) -> tuple[str, StoredJob | None]:
    """Find a job by its id or the beginning of it. Returns the whole id, too."""
    with usage():
        id = job_ids.resolve(engine, id)
    return id, engine.find(id)


def _reason(engine: Engine, stored: StoredJob, pools: Sequence[Snapshot]) -> str:
    """Return why a job waits, or "" if it does not wait."""
    from poolq.monitor import wait_reasons

    if stored.status not in WAITING:
        return ""
    facts = wait_reasons.from_engine(engine, stored.queue, pools)
    name = name_and_queue(stored.body)[0]
    return wait_reasons.reason(stored, name, facts, engine.now() / 1e6)


def print_job(
    stored: StoredJob,
    why: str = "",
    progress: JobProgress | None = None,
    worker: str = "",
) -> None:
    """Print all about a job. `why`: why it waits. `progress`: what it reports while it runs.
    `worker`: the worker that runs it, as people name it."""
    if wants_json():
        tables.print_json({**records.job(stored, progress), "why": why or None})
        return
    when = {"running": "claimed", "failed": "failed"}.get(stored.status, "due")
    failing = stored.state.failing and stored.status != "failed"
    title, attempts = job_history.attempts(stored, records.payload(stored.body)[1])
    history = entries(stored.state.history)
    fields = {
        "id": stored.id,
        "job": name_and_queue(stored.body)[0],
        "queue": stored.queue,
        "status": stored.status + (", failing" if failing else ""),
        "why": why,
        when: amounts.local(stored.at),
        "expires": amounts.local(stored.expires_at) if stored.expires_at else "",
        title: attempts,
        "crashes": stored.state.crashes,
        "worker": worker or "-",
        "payload": listing.payload_text(stored.body),
        "unique": job_history.unique_key(stored),
        "progress": job_history.progress(progress) if progress else "",
        "history": "\n".join(map(job_history.line, history)),
        "traceback": history[-1].traceback.rstrip() if history else "",
    }
    tables.print_fields({name: value for name, value in fields.items() if value != ""})


@job.command()
@filters.selection_options(*STATUSES[:-1])
@click.option("--running", is_flag=True, help="Cancel running jobs too, on whatever host.")
@click.option(
    "--grace",
    metavar="TIME",
    callback=parsed_by(duration()),
    help="How long a running job may take to end before its worker is killed (default: 10s).",
)
@with_engine
def cancel(engine: Engine, chosen: Selection, running: bool, grace: float | None) -> int:
    """Delete jobs that are not running: ready, delayed or parked ones.

    With --running, it also ends running jobs: self.cancelled becomes true in the job, and its
    worker is killed after the grace. Asks before it deletes jobs that options select.
    """
    if not running and (grace is not None or chosen.filters.status == "running"):
        what = "--grace" if grace is not None else "--state running"
        raise click.UsageError(f"{what} needs --running", click.get_current_context())
    end = on_jobs.GRACE if grace is None else round(grace * SECOND)
    act = on_jobs.cancel_running(end) if running else on_jobs.CANCEL
    return bulk.run(engine, chosen, act, asks=True)


@job.command()
@filters.selection_options(*WAITING, "failed")
@click.option("--to", "target", metavar="QUEUE", required=True, help="The queue to move them to.")
@with_engine
def move(engine: Engine, chosen: Selection, target: str) -> int:
    """Move jobs that are not running to another queue. They keep their due time.

    Options select only ready, delayed and parked jobs, unless --state is failed. A parked job asks
    its rate limit again in the new queue.
    """
    _check_target(engine, chosen, target)
    failed = bool(chosen.ids or chosen.filters.status)
    return bulk.run(engine, chosen, on_jobs.move(target, failed=failed))


def _check_target(engine: Engine, chosen: Selection, target: str) -> None:
    """Check the name of the queue. If there is no such queue yet, ask for confirmation."""
    with usage():
        check_name(target, "--to")
    if chosen.filters.queue == target:
        text = f"--queue and --to are both {target!r}"
        raise click.UsageError(text, click.get_current_context())
    known = [one.queue for one in engine.counts()]
    if target not in known and not chosen.yes and not chosen.preview:
        text = on_queues.new_target(target, known)
        require_terminal(text)
        confirm(f"{text} Move jobs there?", chosen.yes)
