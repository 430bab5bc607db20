"""What becomes of claims whose end is decided: when they are settled, and what is reported."""

from __future__ import annotations

import pytest

from poolq.engines.base import Claim, Engine, Push, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Bury, Failing, Park
from poolq.log.events import Ended, Failed, Finished, Held, Limited, Note, Snoozed, Stale
from poolq.scoreboard.layout import SETTLED, STARTED
from poolq.scoreboard.worker_row import WorkerRow
from poolq.worker.claim_buffer import ClaimBuffer
from poolq.worker.execute import RETURNED_RESULT, JobResult
from poolq.worker.settling import Outcomes, outcome_for_around
from poolq.worker.step_client import StepClient
from tests.unit.worker.conftest import RecordedLog

RULE = Rule("mail", 1, 3_600_000_000)
MESSAGE = b'{"job":"jobs:Mail"}'


@pytest.fixture
def outcomes(buffer: ClaimBuffer, row: WorkerRow, log: RecordedLog) -> Outcomes:
    return Outcomes(buffer, row, log)


def claims(engine: Engine, buffer: ClaimBuffer, *ids: str) -> list[Claim]:
    engine.push([Push(id, "q", MESSAGE) for id in ids])
    assert buffer.claim(len(ids)) == len(ids)
    return list(iter(buffer.next, None))


def limited(claim: Claim, how: str = "parked", left: int = 0) -> Limited:
    return Limited("jobs:Mail", claim.id, "q", 1, how=how, key="mail", wait=1.0, left=left)


def parked(claim: Claim) -> JobResult:
    return JobResult(Park((RULE,), 0), limited(claim))


def requests(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many settlements each further request has."""
    sent: list[int] = []
    step = engine.step

    def counted(worker: str, request: int, settlements: list[object], *rest: object) -> object:
        sent.append(len(settlements))
        return step(worker, request, settlements, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "step", counted)
    return sent


def test_jobs_that_are_held_back_are_settled_with_one_request_and_then_reported(
    engine: Engine,
    buffer: ClaimBuffer,
    row: WorkerRow,
    outcomes: Outcomes,
    log: RecordedLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = claims(engine, buffer, "1", "2", "3")
    sent = requests(engine, monkeypatch)
    for claim in mine:
        row.words[STARTED] = 1
        outcomes.hold_back(claim, parked(claim))
        assert row.words[STARTED] == 0, "if the worker dies now, that is no crash of the job"
    assert (sent, log.events) == ([], [])
    outcomes.settle_held_back()
    assert sent == [3]
    assert log.events == [limited(claim) for claim in mine]
    assert engine.counts()[0].parked == 3
    first = row.words[SETTLED]
    outcomes.settle_held_back()
    assert sent == [3], "there is nothing left"
    row.set_settled(mine[-1].index)
    assert row.words[SETTLED] == first, "what comes before the last of them is not done"


def test_of_the_jobs_held_back_only_those_that_count_are_reported(
    engine: Engine, client: StepClient, buffer: ClaimBuffer, outcomes: Outcomes, log: RecordedLog
) -> None:
    """Not those that are given back as earlier ones are due, nor those that others have now."""
    returned, lost, kept = claims(engine, buffer, "1", "2", "3")
    client.try_step([Settlement(lost, GIVE_BACK)], 0)
    outcomes.hold_back(returned, RETURNED_RESULT)
    for claim in (lost, kept):
        outcomes.hold_back(claim, parked(claim))
    outcomes.settle_held_back()
    assert log.events == [Stale("", "2"), limited(kept)]


def test_an_end_other_than_done_is_recorded_once_the_engine_has_it(
    engine: Engine, client: StepClient, buffer: ClaimBuffer, row: WorkerRow, outcomes: Outcomes
) -> None:
    """Until then, and while `on_failure()` is to come, the claim is still the one that runs."""
    done, failing, late = claims(engine, buffer, "1", "2", "3")
    assert outcomes.settle(done, ACK)
    assert outcomes.settle(failing, Failing(State(failing=1)))
    assert row.words[SETTLED] == 0
    assert outcomes.settle(failing, Bury(State(failing=1)))
    settled = row.words[SETTLED]
    row.set_settled(failing.index)
    assert row.words[SETTLED] == settled > 0
    client.try_step([Settlement(late, GIVE_BACK)], 0)
    assert not outcomes.settle(late, Bury(State()))


def test_what_surprises_later_is_warned_about_once(outcomes: Outcomes, log: RecordedLog) -> None:
    claim = Claim("1", 1, 0, "q", b"", State())
    for left in (2, 1, 1):
        outcomes.report(limited(claim, "released", left))
    for attempt in (2, 1, 1):
        where = ("jobs:Mail", "1", "q", attempt)
        outcomes.report(Failed(*where, seconds=0.0, cause="limited", error="over"))
    notes = [one.text for one in log.events if isinstance(one, Note)]
    assert [text.partition(": ")[0] for text in notes] == [
        "job jobs:Mail has one attempt left",
        "job jobs:Mail has a rate limit and attempts = 1",
    ]


WHERE = ("jobs:Mail", "1", "q", 1)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Finished(*WHERE, 0.1), "done"),
        (Snoozed(*WHERE, 0.1, delay=1.0, snoozes=1), "snoozed"),
        (Held(*WHERE, 0.1, key="mail", wait=1.0), "held"),
        (Failed(*WHERE, 0.1, cause="error", error="x"), "failed"),
    ],
)
def test_what_generators_around_a_job_are_told(event: Ended, name: str) -> None:
    error = ValueError()
    told = outcome_for_around(event, error)
    assert (told.event, told.error) == (name, error)
