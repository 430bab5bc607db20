"""Steps that lock the lines of several limits at once, on PostgreSQL, which notices a deadlock only
after a second: if steps met in deadlocks, a pool under limits would hardly start a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from poolq.engines.base import Claim, Settlement
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.faults import can_retry
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.postgresql.wire import ServerError
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import ACK, HoldKey, Outcome, Park
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import MS, Worker, push

WORKERS, STEPS = 4, 100
LENGTH = 50 * MS


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The deadlocks."""
    found: list[str] = []

    def note(error: ServerError) -> bool:
        if error.code == "40P01":
            found.append(error.sql)
        return can_retry(error)

    faults = PostgreSQLSession.faults._replace(can_retry=note)
    monkeypatch.setattr(PostgreSQLSession, "faults", faults)
    return found


def run(
    postgresql: PostgreSQLEngine,
    opened: OpenEngine,
    queues: str,
    outcome: Callable[[Iterator[int]], Outcome],
) -> None:
    """Let workers push and settle jobs. `outcome`: that of a job without a start, of numbers that
    differ each time."""

    def work(number: int) -> None:
        engine, numbers = opened(postgresql.url, postgresql.namespace), count(number)
        worker = Worker(engine, f"w{number}", queues=None)
        claims: list[Claim] = []
        for _ in range(STEPS):
            push(engine, *"abc", queue=queues[next(numbers) % len(queues)])
            outcomes = [ACK if one.admitted else outcome(numbers) for one in claims]
            settled = map(Settlement, claims, outcomes)
            claims = list(worker.step(*settled, want=4).claims)
        engine.close()

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(work, range(WORKERS)))


@pytest.mark.parametrize("queues", ["q", "qr"])
def test_workers_that_park_jobs_and_serve_their_lines_meet_in_no_deadlock(
    postgresql: PostgreSQLEngine, opened: OpenEngine, met: list[str], queues: str
) -> None:
    def outcome(numbers: Iterator[int]) -> Outcome:
        return Park((Rule(f"k{next(numbers) % 12}", 2, LENGTH),), 0)

    run(postgresql, opened, queues, outcome)
    assert met == []


@pytest.mark.parametrize("holds", [False, True])
def test_neither_do_those_whose_jobs_have_two_limits_and_hold_keys(
    postgresql: PostgreSQLEngine, opened: OpenEngine, met: list[str], holds: bool
) -> None:
    """Here, a step moves jobs between lines. While a line is made, two steps may still meet, which
    is rare."""

    def outcome(numbers: Iterator[int]) -> Outcome:
        at = next(numbers)
        first, second = (Rule(f"k{(at + more) % 3}", 2, LENGTH) for more in (0, 1))
        park = Park((first, second), 0) if at % 2 else Park((second, first), 0)
        if not holds or at % 5:
            return park
        return HoldKey(first.key, LENGTH, park if at % 10 else None)

    run(postgresql, opened, "qr", outcome)
    assert len(met) <= 4
