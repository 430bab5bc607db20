"""The questions that are asked before an act that cannot be undone (pure)."""

from poolq.dashboard.screen_state import Action, Question, yes_no
from poolq.monitor import amounts
from poolq.monitor.snapshot import QueueView, WorkerView

GRACE = 10  # seconds that a running job has to end by itself after it was cancelled
DRAIN = yes_no("End the pool when its running jobs have finished?", Action("drain"))
RELOAD = yes_no("Reload the application's code?", Action("reload"))


def forget(job: str, id: str) -> Question:
    return yes_no(f"Forget failed job {job} {id} permanently?", Action("forget", id))


def cancel(id: str, job: str) -> Question:
    return yes_no(f"Cancel job {job} {id}? It does not run again.", Action("cancel", id))


def find(verb: str, id: str) -> Question:
    """Return the question about a job that must first be found: its id may be a beginning, or the
    id of no job."""
    return Question(f"looking for job {id}", {}, "esc: no", Action("find", id, to=verb))


def found(verb: str, id: str, job: str, status: str) -> Question | str:
    """Return the question about a job that was found, or why it cannot be forgotten or cancelled
    (`verb`)."""
    if (status == "failed") is not (verb == "forget"):
        other = "cancelled; forget it instead" if verb == "cancel" else "forgotten"
        return f"job {id} is {status}, so it cannot be {other}"
    if verb == "forget":
        return forget(job, id)
    return cancel_running(id, job) if status == "running" else cancel(id, job)


def cancel_running(id: str, job: str) -> Question:
    text = f"Cancel job {job} {id}, which is running? It has {GRACE} s to end before it is killed."
    return yes_no(text, Action("cancel running", id))


def purge(name: str, queue: QueueView | None) -> Question | str:
    """Return the question, or a message if no job waits in the queue. `queue`: None if the screen
    does not know the counts."""
    action = Action("purge", name)
    if queue is None:
        return yes_no(f"Delete all jobs that wait in queue {name}?", action)
    if not queue.ready + queue.delayed + queue.parked:
        return f"no job waits in queue {name}"
    counts = f"{queue.ready} ready, {queue.delayed} delayed and {queue.parked} parked jobs"
    return yes_no(f"Delete {counts} of queue {name}?", action)


def new_queue(move: Action, hint: str) -> Question:
    """Ask whether a job is to move to a queue that the screen does not know."""
    hint = f" ({hint})" if hint else ""
    return yes_no(f"There is no queue {move.to} yet{hint}. Move the job there?", move)


def kill(worker: WorkerView) -> Question:
    """Ask what becomes of the job that runs on a worker which is killed."""
    text = (
        f"Kill worker {worker.slot}, which has run {worker.job} {worker.id} for"
        f" {amounts.span(worker.running)}? c cancels the job, g gives it back to its queue"
    )
    return Question(
        text,
        {
            "c": Action("kill", worker.id, worker.pid),
            "g": Action("kill and give back", worker.id, worker.pid),
        },
        hint="c/g/N",
    )
