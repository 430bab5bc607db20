"""Decides what the screen must fetch from the engine, and takes in the results of actions (pure):
what was fetched, messages, progress, and the numbers of jobs for which questions wait.

- At most one of these fetches is running, so a fetch that a key requests never waits for many.
- While the broker does not answer, nothing is fetched; what is known stays, with its age.
- Nothing is fetched that the screen does not show.
"""

from dataclasses import replace
from math import inf

from poolq.dashboard import questions
from poolq.dashboard.action_runner import PROGRESS, ActionResult
from poolq.dashboard.job_list import FoundFailures, FoundJobs, JobList, rest_after
from poolq.dashboard.queries import FoundDetail
from poolq.dashboard.screen_state import FETCHES, Action, Detail, ScreenState
from poolq.monitor.snapshot import Snapshot

DETAIL_INTERVAL = 3.0  # seconds between two readings of a job that is shown in full
FAILURES_INTERVAL = 10.0  # seconds between two readings of the stored failures


def wanted(state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Return an action that fetches what the screen lacks, or None. `now`: monotonic seconds."""
    if state.fetching is not None or not snapshot.head.reachable:
        return None
    if state.detail is not None:
        return _of_detail(state.detail, now)
    if state.jobs is not None:
        return _of_list(state.jobs, state, now)
    return Action("failures") if now >= state.failures_due else None


def _of_detail(detail: Detail, now: float) -> Action | None:
    if not detail.shows_job or detail.waits or now < detail.due:
        return None
    return Action("show", detail.key)


def _of_list(jobs: JobList, state: ScreenState, now: float) -> Action | None:
    if not state.typing and state.filter != jobs.text:
        jobs.restart(status=jobs.status, text=state.filter)
    if now < jobs.due:
        return None
    return Action("jobs", jobs.queue or jobs.limit, request=jobs.request())


def take_result(result: ActionResult, state: ScreenState, now: float) -> None:
    """Change the state of the screen by a result. `now` is in monotonic seconds."""
    action = result.action
    if action == state.fetching:
        state.fetching = None
    if action.kind == "count":
        _take_count(result, state, now)
    elif result.level == PROGRESS:
        state.progress = result.text
    elif action.kind not in FETCHES:
        state.progress = ""
        undo = _undo(action) if result.level == "info" else ""
        state.show_message(result.text + undo, now, result.level)
        outdate(state)
    elif result.level == "error":
        fail(state, action, result.text, now)
    else:
        take(state, action, result.found, now)
    if action == state.outdated:
        outdate(state)


def _undo(action: Action) -> str:
    """Name the key that takes back what an action has done, if there is one."""
    match action.kind:
        case "scale" if action.target in ("+1", "-1"):
            return f"; {'-' if action.target == '+1' else '+'} takes that back"
        case "pause" | "resume":
            other = "resume" if action.kind == "pause" else "pause"
            return f"; p {other}s it"
    return ""


def _take_count(result: ActionResult, state: ScreenState, now: float) -> None:
    """Let the user answer the question that has waited for the number of jobs. A question that was
    closed meanwhile stays closed."""
    asked = state.question
    if asked is None or asked.counts != result.action:
        return
    if result.level == PROGRESS:
        state.question = replace(asked, text=result.text)
        return
    state.question = None
    if result.found is None:
        state.show_message(result.text, now, result.level)
    else:
        assert result.action.wanted is not None
        state.take_up(questions.counted(result.action.wanted, result.found), now)


def take(state: ScreenState, action: Action, found: object, now: float) -> None:
    """Take in the result of a fetch."""
    jobs, detail = state.jobs, state.detail
    if isinstance(found, FoundFailures):
        state.failures = found
        state.failures_due = now + rest_after(found.took, FAILURES_INTERVAL)
    elif isinstance(found, FoundJobs) and jobs is not None:
        if action.request == jobs.request():  # else it is the answer for an earlier list
            jobs.take(found, now)
            state.skew = found.skew
    elif isinstance(found, FoundDetail) and detail is not None and detail.key == shown_by(action):
        detail.waits, detail.blocks = False, found.blocks
        detail.due = now + rest_after(found.took, DETAIL_INTERVAL)
        ended = detail.job.ended() if detail.job else None
        detail.job, detail.progress = found.job or ended, found.progress
        state.skew = found.skew or state.skew


def shown_by(action: Action) -> str:
    """Return the key of the detail for which a `show` action fetches: a worker's pid or an id."""
    return str(action.by) if action.by else action.target


def fail(state: ScreenState, action: Action, error: str, now: float) -> None:
    """Take in the error of a fetch."""
    if action.kind == "failures":
        state.failures_due = now + 3 * FAILURES_INTERVAL
    elif action.kind == "jobs" and state.jobs is not None:
        state.jobs.fail(error, now)
    elif state.detail is not None and state.detail.key == shown_by(action):
        state.detail.waits, state.detail.due = False, now + 3 * DETAIL_INTERVAL
        state.detail.blocks = {**state.detail.blocks, "not available": error}


def outdate(state: ScreenState) -> None:
    """Fetch everything again, since an action has changed it. A fetch that is running may have read
    data from before the action, so everything is fetched once more after it."""
    state.outdated = state.fetching
    state.failures_due = -inf
    if state.jobs is not None:
        state.jobs.due = -inf
    if state.detail is not None:
        state.detail.due = -inf
