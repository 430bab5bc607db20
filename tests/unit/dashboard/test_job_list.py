"""The open list of jobs: what is fetched when, and what is drawn of it."""

from __future__ import annotations

import re

import msgspec
import pytest

from poolq.dashboard import fetching
from poolq.dashboard.job_list import (
    FoundFailures,
    FoundJobs,
    JobList,
    JobsRequest,
    JobView,
    counts,
)
from poolq.dashboard.key_bindings import press
from poolq.dashboard.panes.jobs import JOBS_PANE, dispatched_at
from poolq.dashboard.queries import FoundDetail, job_blocks, job_view
from poolq.dashboard.screen_state import Action, Detail, Order, ScreenState
from poolq.dashboard.selection import chosen
from poolq.engines.base import StoredJob
from poolq.engines.progress import JobProgress
from poolq.jobs.message import Entry, Message, State, encode, entry
from poolq.monitor import job_history
from poolq.monitor.snapshot import Snapshot
from tests.support import snapshots
from tests.support.snapshots import AT
from tests.unit.dashboard import frames

POOL = msgspec.structs.replace(snapshots.troubled(), head=snapshots.head(busy=4))
SIZES = [(60, 15), (100, 30), (200, 50)]
TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/jobs.py", line 42, in run
    charge(card)
  File "/srv/venv/lib/python3.12/site-packages/requests/api.py", line 59, in post
PaymentError: card 4242 was declined"""
DECLINED = Entry(1, "error", "PaymentError: card 4242 was declined", 1, TRACEBACK)


def made(number: int, status: str = "ready", queue: str = "emails", **more: object) -> StoredJob:
    id = f"{round((AT - 90) * 1000):012x}7000{number:016x}"
    payload = {"to": f"ada{number}@example.com"}
    message = Message(
        v=1, id=id, job="shop.jobs:SendMail", queue=queue, payload=payload, attempts=3
    )
    job = StoredJob(id, queue, status, round((AT - 5) * 1e6), encode(message), State())
    return job._replace(**more)  # type: ignore[arg-type]


def view(number: int, status: str = "ready", **more: object) -> JobView:
    return job_view(made(number, status, **more))


def failed(number: int) -> StoredJob:
    return made(number, "failed", queue="billing", state=State(1, 0, 0, entry(DECLINED)))


def opened(*jobs: JobView, skew: float = 0.0, **more: str) -> ScreenState:
    """The list of the queue of these jobs, as it is after they have come."""
    found = JobList(**{"queue": "emails", "key": "emails", **more})
    found.take(FoundJobs(list(jobs), True, len(jobs), skew), 0.0)
    chosen = {"jobs": jobs[0].id} if jobs else {}
    return ScreenState(pane="queues", jobs=found, skew=skew, chosen=chosen)


def shown(state: ScreenState, size: tuple[int, int] = (100, 30), pool: Snapshot = POOL) -> str:
    return "\n".join(line.rstrip() for line in frames.shown(pool, size, state))


def page(jobs: list[JobView], whole: bool = True) -> FoundJobs:
    return FoundJobs(jobs, whole, len(jobs), 0.0)


# what is fetched


def test_enter_on_a_queue_lists_its_jobs_and_esc_goes_back_to_its_filter() -> None:
    state = ScreenState(pane="queues", filter="billing")
    assert press("enter", state, POOL, 0.0) is None
    assert state.jobs is not None
    assert (state.jobs.queue, state.filter) == ("billing", "")
    action = fetching.wanted(state, POOL, 0.0)
    assert action == Action("jobs", "billing", request=JobsRequest(queue="billing"))
    press("esc", state, POOL, 0.0)
    assert (state.jobs, state.filter, state.pane) == (None, "billing", "queues")


def test_enter_on_a_limit_lists_what_waits_under_it() -> None:
    state = ScreenState(pane="limits")
    press("enter", state, POOL, 0.0)
    action = fetching.wanted(state, POOL, 0.0)
    assert action == Action(
        "jobs", "shop.jobs:SendMail", request=JobsRequest(limit="shop.jobs:SendMail")
    )


def test_only_one_fetch_is_on_its_way_and_none_while_the_broker_is_gone() -> None:
    state = ScreenState(jobs=JobList(queue="emails"))
    gone = msgspec.structs.replace(POOL, head=snapshots.head(reachable=False))
    assert fetching.wanted(state, gone, 0.0) is None
    state.fetching = fetching.wanted(state, POOL, 0.0)
    assert state.fetching is not None
    assert fetching.wanted(state, POOL, 0.0) is None


def test_a_list_that_the_broker_has_not_answered_says_so() -> None:
    state = ScreenState(jobs=JobList(queue="emails"))
    assert "fetching the jobs" in shown(state)
    gone = msgspec.structs.replace(POOL, head=snapshots.head(reachable=False))
    assert "not known: the engine does not answer" in shown(state, pool=gone)
    assert "no job is here" not in shown(state, pool=gone)
    assert "not current: the engine does not answer" in shown(opened(), pool=gone)


def test_a_list_is_sorted_by_its_columns() -> None:
    jobs = [view(2, at=AT * 1e6), view(1, "parked"), view(3, at=(AT - 60) * 1e6)]
    tried = jobs[1]._replace(stored=jobs[1].stored._replace(state=State(attempt=2)))
    state = opened(jobs[0], tried, jobs[2])

    def ids() -> list[str]:
        return [one.id for one in JOBS_PANE.shown(POOL, state)]

    state.orders["jobs"] = Order("DUE", descending=False)
    assert ids() == [view(3).id, view(2).id, view(1).id], "parked ones have no due time"
    assert "DUE▲" in shown(state)
    press("s", state, POOL, 0.0)
    assert "TRY▼" in shown(state)
    assert ids()[0] == view(1).id
    press("esc", state, POOL, 0.0)
    state.pane = "queues"
    press("enter", state, POOL, 0.0)
    assert "jobs" not in state.orders, "another list is in its own order"


def test_a_title_says_how_many_jobs_there_are_beyond_those_that_are_listed() -> None:
    state = opened(view(1), view(2))
    assert state.jobs is not None
    total = sum(counts(state.jobs, POOL).values())
    assert "JOBS 2 of" not in shown(state)
    state.jobs.found = page([view(1), view(2)], whole=False)
    assert f"JOBS 2 of {total} " in shown(state)
    state.filter = state.jobs.text = "ada"
    assert "searched 2" in shown(state)


def test_a_filter_is_asked_of_the_engine_when_it_is_typed() -> None:
    state = opened(view(1), view(2))
    for key in ("/", *"ADA2"):
        press(key, state, POOL, 0.0)
    assert fetching.wanted(state, POOL, 0.1) is None
    assert JOBS_PANE.shown(POOL, state) == [view(2)]
    press("enter", state, POOL, 0.0)
    action = fetching.wanted(state, POOL, 0.1)
    assert action is not None
    assert action.request == JobsRequest(queue="emails", text="ADA2")
    press("esc", state, POOL, 0.0)
    assert state.jobs is not None, "the first esc removes the filter"
    action = fetching.wanted(state, POOL, 0.1)
    assert action is not None
    assert action.request == JobsRequest(queue="emails")


def test_tab_lists_one_status_after_the_other_that_has_jobs() -> None:
    state = opened(view(1))
    seen = []
    for key in ("tab", "tab", "tab", "tab", "tab", "shift-tab"):
        press(key, state, POOL, 0.0)
        action = fetching.wanted(state, POOL, 0.1)
        assert action is not None
        assert action.request is not None
        seen.append(action.request.status)
    assert seen == ["running", "parked", "delayed", "", "running", ""], "none is ready or failed"
    press("shift-tab", state, POOL, 0.0)
    assert "QUEUE emails  2 running, 84 parked, [3 delayed]" in shown(state)
    limited = opened(view(1, "parked"), queue="", limit=snapshots.MAILS.key)
    press("tab", limited, POOL, 0.0)
    assert limited.jobs is not None
    assert limited.jobs.status == "parked"
    press("tab", limited, POOL, 0.0)
    assert limited.jobs.status == ""


def test_if_the_selected_job_has_gone_the_next_one_is_selected() -> None:
    state = opened(view(1), view(2), view(3))
    press("j", state, POOL, 0.0)
    assert chosen(state, POOL) == view(2)
    action = Action("jobs", "emails", request=JobsRequest(queue="emails"))
    fetching.take(state, action, page([view(1), view(3), view(4)]), 1.0)
    other = Action("jobs", "billing", request=JobsRequest(queue="billing"))
    fetching.take(state, other, page([view(9)]), 2.0)
    assert chosen(state, POOL) == view(3), "an answer to another list is ignored"
    fetching.take(state, action, page([view(4), view(5)]), 2.0)
    assert chosen(state, POOL) == view(5)
    fetching.take(state, action, page([view(6)]), 2.0)
    assert chosen(state, POOL) == view(6)


def test_an_error_is_shown_and_the_jobs_stay() -> None:
    state = opened(view(1))
    action = Action("jobs", "emails", request=JobsRequest(queue="emails"))
    fetching.fail(state, action, "the engine is busy", 10.0)
    screen = shown(state)
    assert "not current: the engine is busy" in screen
    assert "ada1@ex" in screen
    assert fetching.wanted(state, POOL, 12.0) is None
    assert fetching.wanted(state, POOL, 16.0) is not None


# stored failures


def test_failures_are_those_stored_and_those_seen_since() -> None:
    stored = FoundFailures()
    live = (snapshots.failure(1), snapshots.failure(2))
    assert stored.merged(live) == live
    old = snapshots.failure(9, traceback="of an earlier pool")
    same = msgspec.structs.replace(live[1], error="as stored")
    stored = FoundFailures((old, same), began=AT - 100)
    assert stored.merged(live) == (live[0], same, old), "no doubles, the newest first"
    stored = FoundFailures((old,), began=AT)
    assert stored.merged(live) == (old,), "the others were retried or deleted"


def test_stored_failures_are_fetched_at_once_then_seldom_and_after_an_action() -> None:
    state = ScreenState()
    assert fetching.wanted(state, POOL, 0.0) == Action("failures")
    fetching.take(state, Action("failures"), FoundFailures((), AT), 0.0)
    assert fetching.wanted(state, POOL, 9.0) is None
    fetching.outdate(state)
    assert fetching.wanted(state, POOL, 9.0) == Action("failures")
    state.detail = Detail("workers", "901")
    assert fetching.wanted(state, POOL, 99.0) is None, "they are not on the screen"


# a job in full


def test_enter_opens_a_job_which_is_read_again_until_it_has_gone() -> None:
    state = opened(view(1), skew=3600.0)
    assert press("enter", state, POOL, 0.0) == Action("show", view(1).id)
    detail = state.detail
    assert detail is not None
    assert (detail.job, detail.waits) == (view(1), True)
    action = Action("show", view(1).id)
    blocks = job_blocks(made(1))
    fetching.take(state, action, FoundDetail(view(1, "running"), blocks, 1.0), 5.0)
    assert fetching.wanted(state, POOL, 6.0) is None
    assert fetching.wanted(state, POOL, 9.0) == action
    fetching.take(state, action, FoundDetail(None, {"job": job_history.ENDED}), 9.0)
    assert "ended: done, cancelled, discarded" in shown(state)
    press("esc", state, POOL, 0.0)
    assert state.detail is None
    assert state.jobs is not None


@pytest.mark.parametrize("status", ["ready", "parked", "running", "failed"])
def test_a_job_that_has_ended_waits_for_nothing_and_no_key_acts_on_it(status: str) -> None:
    """Its detail stays open, with what is known."""
    state = opened(view(1, status))
    press("enter", state, POOL, 0.0)
    action = Action("show", view(1).id)
    fetching.take(state, action, FoundDetail(None, {"job": job_history.ENDED}), 9.0)
    text = shown(state)
    assert "ended: done" in text
    for word in (f" {status}", "why ", "next attempt", "X cancel", "m move", "r retry"):
        assert word not in text, text
    assert "L log" in shown(state)
    for key in ("X", "m", "r", "A"):
        assert press(key, state, POOL, 0.0) is None
        assert (state.question, state.command) == (None, None)
    assert state.detail is not None
    assert state.detail.job is not None
    assert state.detail.job.payload == view(1).payload


def test_an_answer_to_another_detail_is_ignored() -> None:
    state = opened(view(1), view(2))
    press("enter", state, POOL, 0.0)
    fetching.take(state, Action("show", view(2).id), FoundDetail(view(2), {}), 1.0)
    assert state.detail is not None
    assert state.detail.job == view(1)


def test_keys_act_on_the_selected_job_by_its_status() -> None:
    state = opened(job_view(failed(1)))
    assert press("r", state, POOL, 0.0) == Action("retry", failed(1).id)
    press("X", state, POOL, 0.0)
    assert press("y", state, POOL, 0.0) == Action("forget", failed(1).id)
    state = opened(view(2))
    press("X", state, POOL, 0.0)
    assert press("y", state, POOL, 0.0) == Action("cancel", view(2).id)
    state = opened(view(3, "running"))
    press("X", state, POOL, 0.0)
    assert press("y", state, POOL, 0.0) == Action("cancel", view(3).id)


@pytest.mark.parametrize("key", ["r", "X", "y"])
def test_a_read_only_screen_may_browse_but_not_act(key: str) -> None:
    state = ScreenState(pane="queues", read_only=True)
    press("enter", state, POOL, 0.0)
    assert state.jobs is not None
    state.jobs.take(page([job_view(failed(1))]), 0.0)
    assert press(key, state, POOL, 0.0) is None
    assert state.question is None


# what is drawn


def test_a_running_job_names_its_worker_as_kill_does_and_shows_what_it_reports() -> None:
    job = view(1, "running", worker="89207d4f3d3d:6")
    report = JobProgress(done=89, total=400, note="step 89")
    here = snapshots.busy(3, id=job.id, progress=report)
    pool = msgspec.structs.replace(POOL, workers=(snapshots.busy(1), here))
    state = opened(job)
    press("enter", state, pool, 0.0)
    found = shown(state, pool=pool)
    assert re.search(r"state +running on worker 3, claimed ", found)
    assert re.search(r"progress +█+░+ +22% +89 of 400, step 89\n", found)
    other = shown(state)
    assert re.search(r"state +running on 89207d4f3d3d:6, claimed ", other)
    assert "progress" not in other
    detail = FoundDetail(job, {}, progress=report)
    fetching.take(state, Action("show", job.id), detail, 1.0)
    assert "89 of 400, step 89" in shown(state), "its pool on another host has published it"
    fetching.take(state, Action("show", job.id), FoundDetail(view(1), {}), 9.0)
    assert "progress" not in shown(state)


@pytest.mark.parametrize("size", SIZES)
def test_a_list_shows_each_job_and_why_the_selected_one_waits(size: tuple[int, int]) -> None:
    delayed = view(3, "delayed", at=round((AT + 120) * 1e6))
    state = opened(view(1, "running"), view(2), delayed)
    state.chosen["jobs"] = view(2).id
    lines = shown(state, size).split("\n")
    assert len(lines) == size[1]
    text = "\n".join(lines)
    assert "QUEUE emails  2 running, 84 parked, 3 delayed" in text
    rows = [line for line in lines if "SendMail" in line and "ada" in line]
    assert [re.split(r"\s+", line)[1] for line in rows] == ["running", "ready", "delayed"]
    assert re.search(r"5\.0s ago .*ada2@ex", rows[1])
    assert "in 2m00s" in rows[2]
    assert re.search(r"1m30s|AGE", text)
    assert "why: a worker claims it soon: 11 of 12 are busy" in text
    if size[0] == 200:
        assert view(2).id in text


@pytest.mark.parametrize("size", SIZES)
def test_a_failed_job_shows_its_error_and_place_first_and_only_the_users_frames(
    size: tuple[int, int],
) -> None:
    job = failed(1)
    detail = Detail("failures", job.id, job_blocks(job), job=job_view(job))
    state = ScreenState(pane="failures", detail=detail)
    lines = shown(state, size).split("\n")
    at = next(number for number, line in enumerate(lines) if "FAILURES: esc goes back" in line)
    assert lines[at + 1].split() == ["error", *DECLINED.error.split()]
    assert lines[at + 2].split() == ["raised", "at", "/srv/shop/jobs.py:42", "in", "run"]
    text = ""
    for state.detail.scroll in range(20):
        text += shown(state, size)
    assert "TRACEBACK" in text
    assert "… 1 frame of requests" in text
    assert "site-packages" not in text
    assert '"to": "ada1@example.com"' in text
    assert "attempt 1  PaymentError" in text


@pytest.mark.parametrize(("left", "shown_as"), [(120, " (in 2m00s)"), (-120, "")])
def test_a_job_shows_when_it_expires(left: int, shown_as: str) -> None:
    job = made(1, expires_at=round((AT + left) * 1e6))
    detail = Detail("jobs", job.id, job_blocks(job), job=job_view(job))
    lines = shown(ScreenState(pane="jobs", detail=detail)).split("\n")
    (line,) = (one.strip(" │") for one in lines if one.split()[:1] == ["expires"])
    assert re.fullmatch(rf"expires +\d\d:\d\d:\d\d{re.escape(shown_as)}", line)


def test_times_are_those_of_the_engine() -> None:
    delayed = view(3, "delayed", at=round((AT + 3720) * 1e6))
    text = shown(opened(delayed, skew=3600.0))
    assert re.search(r"delayed .* 1h01m +in 2m00s", text)
    assert "(in 2m00s)" in text


def test_a_list_of_a_limit_names_its_rule_and_next_slot() -> None:
    state = opened(
        view(1, "parked", limit=snapshots.MAILS.key), queue="", limit=snapshots.MAILS.key
    )
    text = shown(state)
    assert "LIMIT shop.jobs:SendMail  84 parked  10 per 1m  next slot " in text
    assert "why: limit shop.jobs:SendMail (10 per 1m) is used up until " in text


def test_i_shows_the_queue_or_limit_itself() -> None:
    state = ScreenState(pane="limits")
    press("enter", state, POOL, 0.0)
    press("i", state, POOL, 0.0)
    assert "allows       10 per 1m" in shown(state)
    press("esc", state, POOL, 0.0)
    assert state.jobs is not None


def test_texts_of_jobs_cannot_control_the_terminal() -> None:
    evil = job_view(made(1, body=b'\x1b[2J{"job": "x\x07"', queue="a\x1b[2Jb"))
    for size in [*SIZES, (1, 1), (7, 3), (20, 5)]:
        for state in (
            opened(evil, queue="a\x1b[2Jb"),
            ScreenState(detail=Detail("jobs", "1", {"payload": "\x1b[2J"}, job=evil)),
            ScreenState(detail=Detail("jobs", "1", waits=True)),
        ):
            text = shown(state, size)
            assert text.replace("\n", "").isprintable()
            assert all(len(line) <= size[0] for line in text.split("\n"))


def test_what_is_not_a_message_is_shown_as_it_is() -> None:
    found = job_view(made(1, body=b"\xffnot json"))
    assert (found.job, found.payload, found.attempts) == ("?", "\ufffdnot json", None)
    assert job_blocks(made(1, body=b"[" * 50_000))["payload"].endswith("prints all")


def test_an_id_tells_when_its_job_was_dispatched() -> None:
    assert dispatched_at(view(1)) == AT - 90
    for id in ("", "1", "x" * 32, "0" * 32, f"{0:012x}7{0:019x}", "zzzzzzzzzzzz7" + "0" * 19):
        assert dispatched_at(view(1)._replace(stored=made(1, id=id))) is None
