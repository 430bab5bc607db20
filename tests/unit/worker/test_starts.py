"""When a worker knows the answer of a limit without asking the engine; on an engine in a file."""

from __future__ import annotations

import pytest

from poolq import Concurrent, Job, Limit
from poolq.engines.base import Engine
from poolq.jobs.limits import GATE_WAIT, NOT_YET, Admission, Gate, Rule
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS
from poolq.jobs.outcomes import Outcome, Park, ReleaseUntil
from poolq.jobs.registry import Registry
from poolq.log import reporting
from poolq.scoreboard.board import Scoreboard
from poolq.worker import starts
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.execute import Executor, ReadyJob
from poolq.worker.starts import BATCHES_STOP, REMEMBERED, Refusals, Starts
from poolq.worker.step_client import StepClient
from poolq.worker.title import Title

RULES = (Rule("mail", 5, 3_600_000_000),)
GATE = (Gate("tenant", 1),)
NOW = 1_000_000


def full(until: int) -> Admission:
    return Admission(until - NOW, 0, until=until, limit=5)


def test_a_full_limit_stays_full_until_its_window_ends_but_is_asked_again_before_long() -> None:
    refusals = Refusals()
    for ends, until in ((NOW + 10, NOW + 10), (NOW + REMEMBERED + 10, NOW + REMEMBERED)):
        refusals.note(RULES, full(ends), NOW)
        answer = refusals.find(RULES, until - 1)
        assert answer == full(ends)._replace(wait=ends - until + 1)
        assert refusals.find(RULES, until) is None
        assert refusals.find(RULES, NOW - 1) is None, "the clock has gone back"
        assert refusals.find((RULES[0]._replace(cost=2),), NOW) is None


def test_batches_are_claimed_for_a_full_limit_until_shortly_before_its_window_ends() -> None:
    """However slow the engine is: it may take REMEMBERED to claim the next batch."""
    refusals, ends = Refusals(), NOW + BATCHES_STOP + 3 * REMEMBERED
    refusals.note(RULES, full(ends), NOW)
    last = ends - BATCHES_STOP - 1
    assert [refusals.is_full(at) for at in (NOW - 1, NOW, last, last + 1)] == [
        False,
        True,
        True,
        False,
    ]
    refusals.note(RULES, Admission(0), NOW)
    assert not refusals.is_full(NOW), "a person has raised it"


def test_a_limit_that_grants_a_start_is_not_full() -> None:
    refusals = Refusals()
    refusals.note(RULES, full(NOW + 2 * BATCHES_STOP), NOW)
    refusals.note((*RULES, *GATE), Admission(0), NOW)
    assert not refusals.is_full(NOW)


@pytest.mark.parametrize("answer", [NOT_YET, Admission(GATE_WAIT, 0)])
def test_other_refusals_hold_for_the_claims_of_one_step(answer: Admission) -> None:
    refusals = Refusals()
    refusals.note(GATE, answer, NOW)
    refusals.note(RULES, full(NOW + 10), NOW)
    assert refusals.find(GATE, NOW) == answer
    refusals.end_batch()
    assert refusals.find(GATE, NOW) is None
    assert refusals.find(RULES, NOW)


@pytest.mark.parametrize(
    "answer", [Admission(0), Admission(0, stale=True), Admission(9, 0, until=NOW + 9, held=True)]
)
def test_what_is_no_refusal_by_a_limit_is_not_remembered(answer: Admission) -> None:
    refusals = Refusals()
    refusals.note(RULES, answer, NOW)
    assert refusals.find(RULES, NOW) is None


class Plain(Job):
    name = "jobs:Plain"

    def run(self) -> None: ...


class Asker:
    """A worker of an engine in a file. `asked`: how often it has asked for a start."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.scores = Scoreboard(1)
        self.scores.allocate(1, 1, 1)
        row = self.scores.worker_row(0)
        log = reporting.Log(reporting.FORMATS["text"]())
        client = StepClient(engine, "w1", None, log, lambda _seconds, _urgent: True)
        self.buffer = ClaimBuffer(client, row, log, Title("w"))
        self.executor = Executor(Registry({"jobs:Plain": Plain}), "worker 1", 9, print)
        order = self.scores.start_order(0)
        self.starts = Starts(engine, client, "w1", self.executor, self.buffer, order)
        self.asked = 0
        admit = engine.admit

        def counted(*args: object) -> Admission:
            self.asked += 1
            return admit(*args)  # type: ignore[arg-type]

        engine.admit = counted  # type: ignore[method-assign, assignment]

    def ask(self, many: int, limit: Limit) -> list[Outcome | None]:
        """Dispatch and claim so many jobs, and ask for each; None stands for a start."""
        template = MessageTemplate("jobs:Plain", DEFAULTS.changed({"attempts": 9}, "jobs:Plain"))
        self.engine.push([template.push({}, 1000) for _ in range(many)])
        self.starts.next_batch(many)
        assert self.buffer.claim(many) == many
        outcomes: list[Outcome | None] = []
        for claim in iter(self.buffer.next, None):
            ready = self.executor.read(claim)
            assert isinstance(ready, ReadyJob)
            result = self.starts.ask(ready, (limit,))
            outcomes.append(result.outcome if result else None)
        return outcomes


@pytest.fixture
def asker(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Asker:
    monkeypatch.setattr(starts, "REMEMBERED", 600_000_000)
    return Asker(engine)


def test_jobs_that_a_full_limit_holds_back_share_a_question(asker: Asker) -> None:
    first, *others = asker.ask(50, Limit(1, hours=1, key="mail"))
    assert first is None
    assert {type(one) for one in others} == {ReleaseUntil}
    assert asker.asked == 2


def test_jobs_behind_one_that_a_gate_refuses_park_without_a_question(asker: Asker) -> None:
    first, *others = asker.ask(50, Concurrent(1, key="tenant"))
    assert first is None
    assert {type(one) for one in others} == {Park}
    assert asker.asked == 2
    asker.ask(2, Concurrent(1, key="tenant"))
    assert asker.asked == 3, "a slot may be free by now"
