"""The questions before an act that cannot be undone, or that changes many jobs (pure).

Many jobs are counted first, by the action "count", which `actions.py` carries out.
"""

from typing import NamedTuple

from poolq.acts import filters, on_jobs, on_queues
from poolq.acts.on_pools import BusyWorker
from poolq.dashboard.screen_state import Action, Question, yes_no
from poolq.engines.search import JobFilter
from poolq.monitor.snapshot import QueueView, WorkerView

GRACE = on_jobs.GRACE // 1_000_000  # seconds
DRAIN = yes_no("End the pool when its running jobs have finished?", Action("drain"))
RELOAD = yes_no("Reload the application's code?", Action("reload"))


class Counted(NamedTuple):
    """How many jobs match, and when they were counted, in microseconds since the epoch."""

    jobs: int
    at: int


def on_job(verb: str, id: str, job: str, status: str) -> Question:
    """Return the question about a job that is to be forgotten or cancelled (`verb`)."""
    action = Action(verb, id)
    if verb == "forget":
        return yes_no(f"Forget failed job {job} {id} permanently?", action)
    if status != "running":
        return yes_no(f"Cancel job {job} {id}? It does not run again.", action)
    text = f"Cancel job {job} {id}, which is running? It has {GRACE} s to end before it is killed."
    return yes_no(text, action)


def on_failures(wanted: JobFilter) -> Question:
    """Return the question about the failed jobs that match, which must first be counted."""
    text = f"counting failed jobs{filters.which(wanted)}"
    return Question(text, {}, "esc: no", Action("count", wanted=wanted))


def counted(wanted: JobFilter, found: Counted) -> Question | str:
    """Return the question about the jobs that were counted, or a message if there are none."""
    which = filters.which(wanted)
    if not found.jobs:
        return f"there are no failed jobs{which}"
    those = wanted._replace(until=found.at)
    retry, forget = (
        Action(kind, by=found.jobs, wanted=those) for kind in ("retry all", "forget all")
    )
    text = f"{filters.jobs(found.jobs, 'failed')}{which}: r retries, X forgets them"
    return Question(text, {"r": retry, "X": forget}, hint="esc: no")


def purge(queue: QueueView) -> Question | str:
    """Return the question, or a message if no job waits in the queue."""
    if not queue.ready + queue.delayed + queue.parked:
        return f"no job waits in queue {queue.queue}"
    return yes_no(on_queues.purge_question(queue), Action("purge", queue.queue))


def kill(worker: WorkerView) -> Question:
    """Return the question whether to cancel or to give back the job of a worker that is killed."""
    named = BusyWorker(worker.slot, worker.pid, worker.job, worker.id, worker.running)
    return Question(
        f"Kill {named}? c cancels the job, g gives it back to its queue",
        {
            "c": Action("kill", worker.id, worker.pid),
            "g": Action("kill and give back", worker.id, worker.pid),
        },
        hint="c/g/N",
    )
