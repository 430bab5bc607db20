"""Acts on many jobs: the question that says how many, and the act on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolq.config import Config
from poolq.dashboard import questions
from poolq.dashboard.action_runner import PROGRESS, ActionResult
from poolq.dashboard.actions import Actions
from poolq.dashboard.fetching import take_result as take
from poolq.dashboard.key_bindings import STOP_COUNT, press
from poolq.dashboard.questions import Counted
from poolq.dashboard.screen_state import Action, Bulk, Question, ScreenState
from poolq.engines.base import Engine
from poolq.engines.search import JobFilter
from poolq.errors import NotFound, Refused
from poolq.jobs.message import Entry, State, entry
from poolq.jobs.outcomes import Bury
from poolq.monitor.amounts import local
from poolq.monitor.job_history import NOT_STORED
from tests.contract.helpers import Worker, count_of, new_id, push_jobs
from tests.support import snapshots

POOL = snapshots.troubled()
CHARGE = JobFilter(job="shop.jobs:Charge")


@pytest.fixture
def actions(engine: Engine, tmp_path: Path) -> Iterator[Actions]:
    made = Actions(Config(engine=engine.url, folder=tmp_path), lambda _: "")
    yield made
    if made._opened is not None:
        made._opened.close()


def ask_about(wanted: Bulk) -> Action:
    """Return the action that counts the jobs."""
    action = questions.on_many(wanted).counts
    assert action is not None
    return action


def asked(action: Action, found: Counted) -> Question:
    question = questions.counted(action, found)
    assert isinstance(question, Question)
    return question


def fail(engine: Engine, job: str, count: int, error: str) -> list[str]:
    """Push jobs that have failed with that error."""
    ids, worker = push_jobs(engine, count, job), Worker(engine, new_id())
    history = entry(Entry(1, "error", error, attempt=1))
    for claim in worker.claim(count):
        worker.end(claim, Bury(State(1, history=history)))
    return ids


def ask(engine_actions: Actions, action: Action) -> tuple[Counted, list[str]]:
    reports: list[str] = []
    _, counted = engine_actions(action, lambda text: not reports.append(text))
    return counted, reports


def test_the_key_for_all_failures_of_a_kind_counts_then_asks() -> None:
    state = ScreenState(pane="failures")
    action = press("A", state, POOL, 0.0)
    assert action == Action("count", bulk=Bulk("", CHARGE))
    take(ActionResult(action, PROGRESS, "counting: 500 jobs"), state, 0.0)
    assert state.question is not None
    assert state.question.text == "counting: 500 jobs"
    assert press("r", state, POOL, 0.0) is None
    take(ActionResult(action, "info", "", Counted(1203, 9)), state, 0.0)
    text = "1203 failed jobs of shop.jobs:Charge: r retries, X forgets them"
    those = CHARGE._replace(until=9)
    assert (state.question.text, state.question.answers) == (text, {
        "r": Action("bulk", by=1203, bulk=Bulk("retry", those)),
        "X": Action("bulk", by=1203, bulk=Bulk("forget", those)),
    })  # fmt: skip
    assert press("y", state, POOL, 0.0) is None
    assert (state.question, state.message) == (None, "nothing was changed")


@pytest.mark.parametrize(
    ("pane", "wanted"),
    [("queues", JobFilter(queue="billing")), ("kinds", JobFilter(job="shop.jobs:Charge"))],
)
def test_the_failures_of_a_queue_or_kind_are_counted(pane: str, wanted: JobFilter) -> None:
    state = ScreenState(pane=pane, filter="billing" if pane == "queues" else "Charge")
    assert press("A", state, POOL, 0.0) == Action("count", bulk=Bulk("", wanted))


def test_a_question_that_was_given_up_does_not_come_back() -> None:
    state = ScreenState(pane="failures")
    action = press("A", state, POOL, 0.0)
    assert action is not None
    assert press("esc", state, POOL, 0.0) == STOP_COUNT
    take(ActionResult(action, "info", "", Counted(7, 9)), state, 0.0)
    assert (state.question, state.message) == (None, "")


@pytest.mark.parametrize(
    ("wanted", "count", "text"),
    [
        (Bulk("retry", CHARGE), 1, "Retry 1 failed job of shop.jobs:Charge?"),
        (Bulk("forget", JobFilter(error="no user")), 2,
         "Forget 2 failed jobs with error 'no user' permanently?"),
        (Bulk("retry", JobFilter(since=0, until=10**15)), 2,
         f"Retry 2 failed jobs since {local(0)} before {local(10**15)}?"),
        (Bulk("cancel", JobFilter(limit="geocode")), 2,
         "Cancel 2 waiting jobs for limit geocode permanently?"),
        (Bulk("cancel", JobFilter(queue="q")), 3, "Cancel 3 waiting jobs in queue q permanently?"),
        (Bulk("move", JobFilter(queue="q"), "r"), 3, "Move 3 waiting jobs in queue q to r?"),
    ],
)  # fmt: skip
def test_a_question_says_how_many_and_which(wanted: Bulk, count: int, text: str) -> None:
    found = asked(ask_about(wanted), Counted(count, 9))
    assert found.text == text
    if wanted.verb in ("retry", "forget") and wanted.filter.until is None:
        wanted = wanted._replace(filter=wanted.filter._replace(until=9))
    assert found.answers["y"] == Action("bulk", by=count, bulk=wanted)


def test_there_is_no_question_about_no_job() -> None:
    state = ScreenState()
    state.question = questions.on_many(Bulk("retry", CHARGE))
    action = ask_about(Bulk("retry", CHARGE))
    take(ActionResult(action, "info", "", Counted(0, 9)), state, 0.0)
    assert (state.question, state.message) == (None, "there are no failed jobs of shop.jobs:Charge")


@pytest.mark.parametrize(
    ("answer", "word", "status"), [("r", "retried", "ready"), ("X", "forgotten", None)]
)
def test_only_failures_that_were_counted_are_acted_on(
    engine: Engine, actions: Actions, answer: str, word: str, status: str | None
) -> None:
    counted_ones = fail(engine, "shop.jobs:Charge", 4, "PaymentError: card 1")
    other = fail(engine, "shop.jobs:Send", 1, "PaymentError: card 2")
    action = ask_about(Bulk("", CHARGE))
    counted, _ = ask(actions, action)
    assert counted.jobs == 4
    question = asked(action, counted)
    late = fail(engine, "shop.jobs:Charge", 1, "PaymentError: card 3")
    text, reports = ask_and_report(actions, question.answers[answer])
    assert text == f"4 jobs of shop.jobs:Charge before {local(counted.at)} are {word}"
    assert reports[-1].endswith("4 of 4 jobs")
    assert {one.id for one in engine.failed()} == {*other, *late}
    found = [engine.find(id) for id in counted_ones]
    assert {one.status if one else None for one in found} == {status}


def ask_and_report(actions: Actions, action: Action) -> tuple[str, list[str]]:
    reports: list[str] = []
    text, _ = actions(action, lambda text: not reports.append(text))
    return text, reports


def test_waiting_jobs_are_cancelled_or_moved_in_pages_until_they_are_stopped(
    engine: Engine, actions: Actions
) -> None:
    ids = push_jobs(engine, 1200, "shop.jobs:Send")
    push_jobs(engine, 3, "shop.jobs:Charge")
    action = ask_about(Bulk("move", JobFilter(job="shop.jobs:Send"), "r"))
    counted, _ = ask(actions, action)
    question = asked(action, counted)
    assert question.text == "Move 1200 waiting jobs of shop.jobs:Send to r?"
    text, _ = actions(question.answers["y"], lambda text: " 1000 of" not in text)
    assert text == "stopped: 1000 of 1200 jobs are moved"
    text, _ = ask_and_report(actions, question.answers["y"])
    assert text == "200 jobs of shop.jobs:Send are moved to r"
    assert (count_of(engine, "r").ready, count_of(engine).ready) == (1200, 3)
    text, _ = ask_and_report(
        actions, Action("bulk", by=3, bulk=Bulk("cancel", JobFilter(queue="q")))
    )
    assert text == "3 jobs in queue q are cancelled"
    assert engine.find(ids[0]) is not None


def test_an_id_may_be_shortened(engine: Engine, actions: Actions) -> None:
    (failed,) = fail(engine, "shop.jobs:Charge", 1, "x")
    ids = push_jobs(engine, 5, "shop.jobs:Send")
    same = ids[0][:4]
    assert all(id.startswith(same) for id in ids)

    def does(kind: str, target: str, to: str = "") -> str:
        return str(actions(Action(kind, target, to=to), lambda _: True)[0])

    with pytest.raises(NotFound, match=f"the ids of .* jobs begin with '{same}'"):
        does("cancel", same)
    with pytest.raises(Refused, match=f"job ffff {NOT_STORED}"):
        does("cancel", "ffff")
    unique = next(ids[0][:size] for size in range(4, 33) if len(engine.ids(ids[0][:size], 2)) == 1)
    assert does("cancel", unique) == f"job {ids[0]} is cancelled"
    assert does("move", ids[1], "r") == f"job {ids[1]} is moved to r"
    assert does("retry", failed) == f"job {failed} is retried"
    assert does("purge", "q") == "queue q is purged: 4 jobs deleted"
    with pytest.raises(Refused, match=NOT_STORED):
        does("cancel", ids[0])
    (claim,) = Worker(engine, "w9", queues=("r",)).claim()
    begun = engine.now()
    with pytest.raises(Refused, match=f"job {claim.id} is running; only delayed, .* can be moved"):
        does("move", claim.id, "q")
    end = "; it is killed unless it ends within 10 s"
    assert does("cancel", claim.id) == f"job {claim.id} is cancelled{end}"
    (request,) = engine.cancel_requests("n1")
    assert request.id == claim.id
    assert begun + 10_000_000 - engine.now() <= request.due <= 10_000_000
