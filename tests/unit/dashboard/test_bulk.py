"""Acts on many jobs: the question that says how many, and the act on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poolq.config import Config
from poolq.dashboard import questions
from poolq.dashboard.action_runner import PROGRESS, ActionResult
from poolq.dashboard.actions import Actions
from poolq.dashboard.fetching import take_result as take
from poolq.dashboard.key_bindings import STOP_COUNT, press
from poolq.dashboard.questions import Counted
from poolq.dashboard.screen_state import Action, Question, ScreenState
from poolq.engines.base import Engine
from poolq.engines.search import JobFilter
from poolq.errors import Refused
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


def ask_about(wanted: JobFilter) -> Action:
    """Return the action that counts the jobs."""
    action = questions.on_failures(wanted).counts
    assert action is not None
    return action


def asked(action: Action, found: Counted) -> Question:
    assert action.wanted is not None
    question = questions.counted(action.wanted, found)
    assert isinstance(question, Question)
    return question


def fail(engine: Engine, job: str, count: int, error: str) -> list[str]:
    """Push jobs that have failed with that error."""
    ids, worker = push_jobs(engine, count, job), Worker(engine, new_id())
    history = entry(Entry(1, "error", error, attempt=1))
    for claim in worker.claim(count):
        worker.end(claim, Bury(State(1, history=history)))
    return ids


def carry_out(actions: Actions, action: Action) -> tuple[str, Any, list[str]]:
    """Return the message, what was fetched, and the reports."""
    reports: list[str] = []
    return *actions(action, lambda text: not reports.append(text)), reports


def test_the_key_for_all_failures_of_a_kind_counts_then_asks() -> None:
    state = ScreenState(pane="failures")
    action = press("A", state, POOL, 0.0)
    assert action == Action("count", wanted=CHARGE)
    take(ActionResult(action, PROGRESS, "counting: 500 jobs"), state, 0.0)
    assert state.question is not None
    assert state.question.text == "counting: 500 jobs"
    assert press("r", state, POOL, 0.0) is None
    take(ActionResult(action, "info", "", Counted(1203, 9)), state, 0.0)
    text = "1203 failed jobs of shop.jobs:Charge: r retries, X forgets them"
    those = CHARGE._replace(until=9)
    assert (state.question.text, state.question.answers) == (text, {
        "r": Action("retry all", by=1203, wanted=those),
        "X": Action("forget all", by=1203, wanted=those),
    })  # fmt: skip
    assert press("y", state, POOL, 0.0) is None
    assert (state.question, state.message) == (None, "nothing was changed")


@pytest.mark.parametrize(
    ("pane", "wanted"),
    [("queues", JobFilter(queue="billing")), ("kinds", JobFilter(job="shop.jobs:Charge"))],
)
def test_the_failures_of_a_queue_or_kind_are_counted(pane: str, wanted: JobFilter) -> None:
    state = ScreenState(pane=pane, filter="billing" if pane == "queues" else "Charge")
    assert press("A", state, POOL, 0.0) == Action("count", wanted=wanted)


def test_a_question_that_was_given_up_does_not_come_back() -> None:
    state = ScreenState(pane="failures")
    action = press("A", state, POOL, 0.0)
    assert action is not None
    assert press("esc", state, POOL, 0.0) == STOP_COUNT
    take(ActionResult(action, "info", "", Counted(7, 9)), state, 0.0)
    assert (state.question, state.message) == (None, "")


def test_there_is_no_question_about_no_job() -> None:
    state = ScreenState()
    state.question = questions.on_failures(CHARGE)
    action = ask_about(CHARGE)
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
    action = ask_about(CHARGE)
    _, counted, _ = carry_out(actions, action)
    assert counted.jobs == 4
    question = asked(action, counted)
    late = fail(engine, "shop.jobs:Charge", 1, "PaymentError: card 3")
    text, _, reports = carry_out(actions, question.answers[answer])
    assert text == f"4 jobs of shop.jobs:Charge before {local(counted.at)} are {word}"
    assert reports[-1].endswith("4 of 4 jobs")
    assert {one.id for one in engine.failed()} == {*other, *late}
    found = [engine.find(id) for id in counted_ones]
    assert {one.status if one else None for one in found} == {status}


def test_an_act_on_many_is_stopped_between_two_pages(engine: Engine, actions: Actions) -> None:
    fail(engine, "shop.jobs:Charge", 1200, "x")
    _, counted, _ = carry_out(actions, ask_about(CHARGE))
    question = asked(ask_about(CHARGE), counted)
    assert question.text == "1200 failed jobs of shop.jobs:Charge: r retries, X forgets them"
    text, _ = actions(question.answers["r"], lambda text: " 1000 of" not in text)
    assert text == "stopped: 1000 of 1200 jobs are retried"
    assert count_of(engine).failed == 200
    text, _, _ = carry_out(actions, question.answers["X"])
    assert text.startswith("200 jobs of shop.jobs:Charge before ")
    assert count_of(engine).failed == 0


def test_one_job_is_changed_or_refused(engine: Engine, actions: Actions) -> None:
    (failed,) = fail(engine, "shop.jobs:Charge", 1, "x")
    ids = push_jobs(engine, 5, "shop.jobs:Send")

    def does(kind: str, target: str) -> str:
        return str(actions(Action(kind, target), lambda _: True)[0])

    with pytest.raises(Refused, match=f"job ffff {NOT_STORED}"):
        does("cancel", "ffff")
    assert does("cancel", ids[0]) == f"job {ids[0]} is cancelled"
    assert does("retry", failed) == f"job {failed} is retried"
    assert does("purge", "q") == "queue q is purged: 5 jobs deleted"
    with pytest.raises(Refused, match=NOT_STORED):
        does("cancel", ids[0])
    (id,) = push_jobs(engine, 1, "shop.jobs:Send", "r")
    (claim,) = Worker(engine, "w9", queues=("r",)).claim()
    assert claim.id == id
    begun = engine.now()
    end = "; it is killed unless it ends within 10 s"
    assert does("cancel", claim.id) == f"job {claim.id} is cancelled{end}"
    (request,) = engine.cancel_requests("n1")
    assert request.id == claim.id
    assert begun + 10_000_000 - engine.now() <= request.due <= 10_000_000
