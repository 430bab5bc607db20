"""`poolq job`: shows, cancels and dispatches jobs."""

import os
from collections.abc import Sequence
from contextlib import closing, suppress

import click

from poolq.cli import records
from poolq.cli.dispatch import dispatch
from poolq.cli.group import Group
from poolq.cli.options import json_option, print_line, reject_empty, warn, with_engine
from poolq.engines.base import Engine, StoredJob
from poolq.errors import NotFound, PoolqError
from poolq.jobs.message import entries, name_and_queue
from poolq.monitor import times
from poolq.monitor.snapshot import Progress


@click.group(cls=Group)
def job() -> None:
    """Show, cancel or dispatch a job."""


job.add_command(dispatch)


@job.command()
@click.argument("id", callback=reject_empty)
@json_option
@with_engine
def show(engine: Engine, id: str, as_json: bool) -> None:
    """Show a job in any state, with its history. Jobs that are done are not kept."""
    stored = engine.find(id)
    if stored is None:
        raise NotFound(f"job {id} is done or never existed")
    print_job(stored, as_json, _progress(id) if stored.status == "running" else None)


def _progress(id: str) -> Progress | None:
    """Return the job's progress, if a pool of this user on this host runs it."""
    from poolq.dashboard.sources import AttachedSource
    from poolq.system.runtime_folder import running_pools

    for name in dict.fromkeys(found.name for found in running_pools(os.environ)):
        with suppress(PoolqError), closing(AttachedSource(name, os.environ)) as source:
            seen = source.snapshot()
            for worker in seen.workers if seen else ():
                if worker.id == id:
                    return worker.progress
    return None


def print_job(stored: StoredJob, as_json: bool, progress: Progress | None = None) -> None:
    from poolq.cli import tables
    from poolq.monitor import job_history

    if as_json:
        tables.print_json(records.job(stored, progress))
        return
    import msgspec

    payload, most = records.payload(stored.body)
    shown = payload if isinstance(payload, str) else msgspec.json.encode(payload).decode()
    when = {"running": "claimed", "failed": "failed"}.get(stored.status, "due")
    failing = stored.state.failing and stored.status != "failed"
    title, attempts = job_history.attempts(stored, most)
    fields = {
        "id": stored.id,
        "job": name_and_queue(stored.body)[0],
        "queue": stored.queue,
        "status": stored.status + (", failing" if failing else ""),
        when: times.local(stored.at),
        title: attempts,
        "crashes": stored.state.crashes,
        "worker": stored.worker or "-",
        "payload": shown,
    }
    if progress is not None:
        fields["progress"] = _progress_text(progress)
    history = entries(stored.state.history)
    if history:
        fields["history"] = "\n".join(map(job_history.line, history))
        if history[-1].traceback:
            fields["traceback"] = history[-1].traceback.rstrip()
    tables.print_fields(fields)


def _progress_text(progress: Progress) -> str:
    total = f" of {progress.total}" if progress.total else ""
    return f"{progress.done}{total}{f', {progress.note}' if progress.note else ''}"


@job.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, callback=reject_empty)
@with_engine
def cancel(engine: Engine, ids: Sequence[str]) -> int:
    """Delete jobs that are not running: ready, delayed or parked ones."""
    code = 0
    for id in dict.fromkeys(ids):
        if engine.cancel([id]):
            print_line(f"cancelled {id}")
            continue
        code = 1
        stored = engine.find(id)
        if stored is None:
            warn(f"job {id} is done or never existed")
        elif stored.status == "failed":
            warn(f"job {id} has failed already; 'poolq failed forget {id}' deletes it")
        else:
            warn(f"job {id} is {stored.status}; only jobs that are not running can be cancelled")
    return code
