"""What becomes of a claim that this application cannot run: no module defines its job, or a newer
version of poolq wrote its message. Either may be a matter of deploy order, so the job waits.
"""

from collections.abc import Callable

from poolq.engines.base import Claim
from poolq.jobs import outcomes
from poolq.jobs.message import Entry, Message, name_and_queue
from poolq.jobs.outcomes import Bury, Outcome, Release
from poolq.log import events
from poolq.log.events import Ended

#: Makes a line of a job's history from cause, error and attempt.
MakeEntry = Callable[[str, str, int], Entry]


def release(claim: Claim, message: Message, entry: MakeEntry, grace: int) -> tuple[Outcome, Ended]:
    """Release a job that no module defines, or bury it after `grace` microseconds."""
    job = message.job
    text = (
        f"UnknownJob: no module of the application defines {job!r}; "
        "deploy it, or name its module with --app"
    )
    outcome = outcomes.release_unknown(message, claim.state, entry("unknown", text, 0), grace)
    if isinstance(outcome, Bury):
        return outcome, events.Buried(job, claim.id, claim.queue, text)
    assert isinstance(outcome, Release)
    return outcome, events.Unknown(job, claim.id, claim.queue, outcome.delay / 1e6)


def release_newer(claim: Claim, text: str, entry: MakeEntry) -> tuple[Outcome, Ended]:
    """Release a job whose message is newer than this version of poolq."""
    outcome = outcomes.release_newer(claim.state, entry("newer", f"NewerMessage: {text}", 0))
    job, _ = name_and_queue(claim.body)
    return outcome, events.Unknown(job, claim.id, claim.queue, outcome.delay / 1e6, text)
