"""What becomes of a dead worker's claims: each rule, by the way in which the worker died."""

from __future__ import annotations

import pytest

from poolq.engines.base import Claim
from poolq.jobs.ending import DeathEnd, DeathReport, after_death, unobserved_death
from poolq.jobs.message import INITIAL, Entry, State, entries, entry
from poolq.jobs.outcomes import ACK, CANCEL, GIVE_BACK, Outcome, Release, Requeue

LINE = entry(Entry(7, "crash", "bang"))
FRESH, FAILING = State(2, 1), State(2, 1, 3)


def claim(index: int, request: int = 5, state: State = INITIAL) -> Claim:
    return Claim(f"id{index}", request, index, "q", b"", state)


def death(end: DeathEnd = "crash", delay: int = 0) -> DeathReport:
    """Claims 1 and 2 of request 5 are done, the one before them is settled, and 3 was running."""
    return DeathReport(5, finished=3, started=3, entry=LINE, end=end, delay=delay, settled=1)


@pytest.mark.parametrize(
    ("index", "number", "cancelled", "fate", "outcome"),
    [
        (0, 5, False, "returned", GIVE_BACK),
        (1, 5, False, "done", ACK),
        (2, 5, True, "done", ACK),
        (3, 5, True, "cancelled", CANCEL),
        (4, 5, False, "returned", GIVE_BACK),
        (4, 5, True, "cancelled", CANCEL),
        (1, 4, False, "returned", GIVE_BACK),
        (3, 4, False, "returned", GIVE_BACK),
        (3, 6, False, "returned", GIVE_BACK),
    ],
)
def test_only_what_the_report_names_has_ended(
    index: int, number: int, cancelled: bool, fate: str, outcome: Outcome
) -> None:
    assert after_death(claim(index, number), cancelled, death()) == (fate, outcome)


@pytest.mark.parametrize(
    ("end", "before", "fate", "outcome"),
    [
        ("crash", FRESH, "crashed", Requeue(State(2, 2, 0, LINE), "crashed")),
        ("crash", FAILING, "crashed", Requeue(State(2, 1, 4, LINE), "crashed")),
        ("timeout", FRESH, "timed_out", Release(9, State(3, 1, 0, LINE))),
        ("timeout", FAILING, "crashed", Requeue(State(2, 1, 4, LINE), "crashed")),
        ("returned", FRESH, "returned", Requeue(State(2, 1, 0, LINE), "")),
        ("returned", FAILING, "returned", Requeue(State(2, 1, 3, LINE), "")),
        ("cancelled", FRESH, "cancelled", CANCEL),
        ("cancelled", FAILING, "cancelled", CANCEL),
    ],
)
def test_the_running_job_is_charged_for_its_end(
    end: DeathEnd, before: State, fate: str, outcome: Outcome
) -> None:
    assert after_death(claim(3, state=before), False, death(end, delay=9)) == (fate, outcome)


def test_without_a_delay_a_job_that_has_timed_out_is_the_next_one() -> None:
    end = after_death(claim(3, state=FRESH), False, death("timeout"))
    assert end == ("timed_out", Requeue(State(3, 1, 0, LINE), "retried"))


def test_of_an_unobserved_death_the_earliest_claim_is_charged() -> None:
    earliest = claim(0, request=4, state=FRESH)
    report = unobserved_death("w1", earliest, 42)
    others = [claim(1, request=4), claim(0), claim(1)]
    assert {after_death(one, False, report) for one in others} == {("returned", GIVE_BACK)}
    fate, outcome = after_death(earliest, False, report)
    assert fate == "crashed"
    assert isinstance(outcome, Requeue)
    assert outcome.state[:3] == (2, 2, 0)
    (line,) = entries(outcome.state.history)
    assert (line.at, line.cause, line.worker) == (42, "crash", "w1")
    assert line.error == "its worker died; nothing more is known"


def test_of_a_worker_without_claims_nothing_is_charged() -> None:
    assert unobserved_death("w1", None, 42).started == -1
