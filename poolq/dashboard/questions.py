"""The questions that are asked before an act that cannot be undone, or on many jobs (pure).

Many jobs are counted first, by the action "count", which `actions.py` carries out.
"""

from typing import NamedTuple

from poolq.acts import filters, on_jobs, on_queues
from poolq.acts.on_jobs import Act
from poolq.acts.on_pools import BusyWorker
from poolq.dashboard.screen_state import Action, Bulk, Question, yes_no
from poolq.monitor.snapshot import QueueView, WorkerView

GRACE = on_jobs.GRACE // 1_000_000  # seconds
DRAIN = yes_no("End the pool when its running jobs have finished?", Action("drain"))
RELOAD = yes_no("Reload the application's code?", Action("reload"))


class Counted(NamedTuple):
    """How many jobs match, and when they were counted, in microseconds since the epoch."""

    jobs: int
    at: int


def act_of(verb: str, to: str = "", *, many: bool = False) -> Act:
    """Return the act on one job or on `many`; those that run or have failed are only cancelled or
    moved one by one. Failed jobs of which it is not yet clear what happens to them have no verb."""
    match verb:
        case "forget":
            return on_jobs.FORGET
        case "cancel":
            return on_jobs.CANCEL if many else on_jobs.cancel_running()
        case "move":
            return on_jobs.move(to, failed=not many)
    return on_jobs.RETRY


# one job


def on_job(verb: str, id: str, job: str = "") -> Question:
    """Return the question about a job that is forgotten or cancelled (`verb`). `id` may be the
    beginning of an id; the act refuses a job that is not fit for it."""
    name, action = f"{job} {id}".strip(), Action(verb, id)
    if verb == "forget":
        return yes_no(f"Forget failed job {name} permanently?", action)
    text = "It does not run again; if it is running, it has"
    return yes_no(f"Cancel job {name}? {text} {GRACE} s to end before it is killed.", action)


def new_queue(move: Action, known: set[str]) -> Question:
    """Ask whether a job is to move to a queue that the screen does not know."""
    return yes_no(f"{on_queues.new_target(move.to, sorted(known))} Move the job there?", move)


# many jobs


def error_kind(error: str) -> str:
    """Return the part of an error that errors of the same kind share, such as ValueError."""
    name, colon, _ = error.partition(":")
    return name if colon and " " not in name else error


def on_many(bulk: Bulk) -> Question:
    """Return the question about the jobs, which must first be counted."""
    act = act_of(bulk.verb, bulk.to, many=True)
    text = f"counting {act.kind(bulk.filter)} jobs{filters.which(bulk.filter)}"
    return Question(text, {}, "esc: no", Action("count", bulk=bulk))


def counted(action: Action, found: Counted) -> Question | str:
    """Return the question about the jobs that were counted, or a message if there are none."""
    bulk = action.bulk
    assert bulk is not None
    act, wanted = act_of(bulk.verb, bulk.to, many=True), bulk.filter
    which = filters.which(wanted)
    if not found.jobs:
        return f"there are no {act.kind(wanted)} jobs{which}"
    if wanted.until is None and act.states == on_jobs.FAILED:
        bulk = bulk._replace(filter=wanted._replace(until=found.at))
    acts = {
        verb: Action("bulk", by=found.jobs, bulk=bulk._replace(verb=verb))
        for verb in ([bulk.verb] if bulk.verb else ["retry", "forget"])
    }
    if bulk.verb:
        return yes_no(act.question(found.jobs, wanted), acts[bulk.verb])
    text = f"{filters.jobs(found.jobs, act.kind(wanted))}{which}: r retries, X forgets them"
    return Question(text, {"r": acts["retry"], "X": acts["forget"]}, hint="esc: no")


# queues and workers


def purge(name: str, queue: QueueView | None) -> Question | str:
    """Return the question, or a message if no job waits in the queue. `queue`: None if the screen
    does not know the counts."""
    action = Action("purge", name)
    if queue is None:
        return yes_no(f"Delete all jobs that wait in queue {name}?", action)
    if not queue.ready + queue.delayed + queue.parked:
        return f"no job waits in queue {name}"
    return yes_no(on_queues.purge_question(queue), action)


def busy(worker: WorkerView) -> BusyWorker:
    return BusyWorker(worker.slot, worker.pid, worker.job, worker.id, worker.running)


def kill(worker: BusyWorker) -> Question:
    """Ask what becomes of the job that runs on a worker which is killed."""
    return Question(
        f"Kill {worker}? c cancels the job, g gives it back to its queue",
        {
            "c": Action("kill", worker.id, worker.pid),
            "g": Action("kill and give back", worker.id, worker.pid),
        },
        hint="c/g/N",
    )
