"""Decides what the screen must fetch from the engine, and takes in what was fetched (pure).

- At most one fetch is on its way, so that those which a key requests do not wait for many of them.
- While the broker does not answer, nothing is fetched; what is known stays, with its age.
- Nothing is fetched that the screen does not show.
"""

from poolq.dashboard.job_list import FoundFailures, FoundJobs, JobList, rest_after
from poolq.dashboard.panes.jobs import JOBS_PANE
from poolq.dashboard.queries import FoundDetail
from poolq.dashboard.screen_state import Action, Detail, ScreenState
from poolq.monitor.snapshot import Snapshot

DETAIL_INTERVAL = 3.0  # seconds between two readings of a job that is shown in full
FAILURES_INTERVAL = 10.0  # seconds between two readings of the stored failures
FETCHES = ("jobs", "failures", "show")


def wanted(state: ScreenState, snapshot: Snapshot, now: float) -> Action | None:
    """Return an action that fetches what the screen lacks, or None. `now`: monotonic seconds."""
    if state.fetching is not None or not snapshot.head.reachable:
        return None
    if state.detail is not None:
        return _of_detail(state.detail, now)
    if state.jobs is not None:
        return _of_list(state.jobs, state, now)
    return Action("failures") if now >= state.failures.due else None


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


def take(state: ScreenState, action: Action, found: object, now: float) -> None:
    """Take in the result of a fetch."""
    jobs, detail = state.jobs, state.detail
    if isinstance(found, FoundFailures):
        state.failures.found = found
        state.failures.due = now + rest_after(found.took, FAILURES_INTERVAL)
    elif isinstance(found, FoundJobs) and jobs is not None:
        if action.request == jobs.request():  # no answer to an earlier list
            before = JOBS_PANE.position(JOBS_PANE.listed(state), state)
            jobs.take(found, now)
            _keep_selection(state, before)
    elif isinstance(found, FoundDetail) and detail is not None and detail.key == shown_by(action):
        detail.waits, detail.blocks = False, found.blocks
        detail.due = now + rest_after(found.took, DETAIL_INTERVAL)
        ended = detail.job.ended() if detail.job else None
        detail.job, detail.skew = found.job or ended, found.skew or detail.skew
        detail.progress = found.progress


def shown_by(action: Action) -> str:
    """Return the key of the detail for which a `show` action fetches: a worker's pid or an id."""
    return str(action.by) if action.by else action.target


def fail(state: ScreenState, action: Action, error: str, now: float) -> None:
    """Take in the error of a fetch."""
    if action.kind == "failures":
        state.failures.due = now + 3 * FAILURES_INTERVAL
    elif action.kind == "jobs" and state.jobs is not None:
        state.jobs.fail(error, now)
    elif state.detail is not None and state.detail.key == shown_by(action):
        state.detail.waits, state.detail.due = False, now + 3 * DETAIL_INTERVAL
        state.detail.blocks = {**state.detail.blocks, "not available": error}


def outdate(state: ScreenState) -> None:
    """Fetch everything again, since an action has changed it. What is being fetched now may be from
    before, and does not count."""
    state.outdated = state.fetching
    state.failures.due = 0.0
    if state.jobs is not None:
        state.jobs.due = 0.0
    if state.detail is not None:
        state.detail.due = 0.0


def _keep_selection(state: ScreenState, before: int) -> None:
    """If the selected job has left the list, select the one that took its place in row `before`, or
    the last one if there are fewer rows."""
    listed, chosen = JOBS_PANE.listed(state), state.chosen.get(JOBS_PANE.name)
    if listed and all(one.id != chosen for one in listed):
        state.chosen[JOBS_PANE.name] = listed[min(before, len(listed) - 1)].id
