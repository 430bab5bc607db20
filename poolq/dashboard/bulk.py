"""Acts on many jobs: which ones, the question that says how many, and the words for it (pure).

The jobs are counted before the question, by the action "count"; `actions.py` carries out both.
"""

from typing import NamedTuple

from poolq.dashboard.screen_state import Action, Bulk, Question, yes_no
from poolq.monitor.times import local

FAILED, WAITING = ("failed",), ("parked", "delayed", "ready")


class Verb(NamedTuple):
    """The words for an act, and the states of the jobs that it is about. Waiting jobs are looked
    for in the order in which they change their states, so that none is missed."""

    doing: str
    done: str
    statuses: tuple[str, ...]
    permanent: bool = False


VERBS = {
    "retry": Verb("retrying", "back in their queues", FAILED),
    "forget": Verb("forgetting", "forgotten", FAILED, permanent=True),
    "cancel": Verb("cancelling", "cancelled", WAITING, permanent=True),
    "move": Verb("moving", "moved", WAITING),
}


class Counted(NamedTuple):
    """How many jobs match, how many of these have the same kind of error, and when this was
    counted, in microseconds since the epoch; -1: not counted."""

    jobs: int
    same_error: int = -1
    at: int = -1


def statuses(bulk: Bulk) -> tuple[str, ...]:
    return VERBS[bulk.verb].statuses if bulk.verb else FAILED


def jobs(count: int, bulk: Bulk) -> str:
    """Return the number and the kind of the jobs: 3 failed jobs of jobs:Send in queue mails."""
    kind = "failed" if statuses(bulk) == FAILED else "waiting"
    found, number = bulk.filter, f"{count} " if count else ""
    parts = [f"{number or 'no '}{kind} job{'s' * (count != 1)}"]
    parts += [f"of {found.job}"] if found.job else []
    parts += [f"in queue {found.queue}"] if found.queue else []
    parts += [f"with error {found.error!r}"] if found.error else []
    parts += [f"for limit {found.limit}"] if found.limit else []
    parts += [f"since {local(found.since)}"] if found.since is not None else []
    parts += [f"before {local(found.until)}"] if found.until is not None else []
    return " ".join(parts)


def error_kind(error: str) -> str:
    """Return the part of an error that errors of the same kind share, such as ValueError."""
    name, colon, _ = error.partition(":")
    return name if colon and " " not in name else error


def ask(bulk: Bulk, error: str = "") -> tuple[Action, Question]:
    """Return an action that counts the jobs, and the question that waits for it. `error`: also
    count the jobs with this kind of error."""
    action = Action("count", target=error, bulk=bulk)
    what = jobs(2, bulk).removeprefix("2 ")
    return action, Question(f"counting {what}", {}, hint="esc: no", counts=action)


def question(action: Action, counted: Counted) -> Question | None:
    """Return the question about the counted jobs, or None if there are none."""
    bulk = action.bulk
    assert bulk is not None
    if not counted.jobs:
        return None
    what = jobs(counted.jobs, bulk)
    if counted.at >= 0 and bulk.filter.until is None and statuses(bulk) == FAILED:
        bulk = bulk._replace(filter=bulk.filter._replace(until=counted.at))
    if not bulk.verb:
        return _choice(bulk, what, action.target, counted)
    end = " permanently" if VERBS[bulk.verb].permanent else f" to {bulk.to}" if bulk.to else ""
    text = f"{bulk.verb.capitalize()} {what}{end}?"
    return yes_no(text, _action(bulk, bulk.verb, counted.jobs))


def _choice(bulk: Bulk, what: str, error: str, counted: Counted) -> Question:
    """Ask what happens to failed jobs and, if only some have the error, to which of them."""
    answers = {
        "r": _action(bulk, "retry", counted.jobs),
        "X": _action(bulk, "forget", counted.jobs),
    }
    text = f"{what}: r retries, X forgets them"
    if 0 < counted.same_error < counted.jobs:
        same = bulk._replace(filter=bulk.filter._replace(error=error))
        answers["e"] = _action(same, "retry", counted.same_error)
        answers["E"] = _action(same, "forget", counted.same_error)
        text += f"; e retries, E forgets only the {counted.same_error} with {error}"
    return Question(text, answers, hint="esc: no")


def _action(bulk: Bulk, verb: str, count: int) -> Action:
    return Action("bulk", by=count, bulk=bulk._replace(verb=verb))
