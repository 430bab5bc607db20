"""Steps that lock the lines of several limits at once, on PostgreSQL, which notices a deadlock only
after a second: if steps met in deadlocks, a pool under limits would hardly start a job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from poolq.engines.base import Settlement
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.faults import can_retry
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.postgresql.wire import ServerError
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import ACK, Park
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import MS, Worker, push

WORKERS, STEPS, KEYS = 4, 100, 12


@pytest.mark.parametrize("queues", ["q", "qr"])
def test_workers_that_park_jobs_and_serve_their_lines_meet_in_no_deadlock(
    postgresql: PostgreSQLEngine,
    opened: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
    queues: str,
) -> None:
    met: list[str] = []

    def note(error: ServerError) -> bool:
        met.append(f"{error.code}: {error.sql}")
        return can_retry(error)

    def work(number: int) -> None:
        engine, numbers = opened(postgresql.url, postgresql.namespace), count(number)
        worker, claims = Worker(engine, f"w{number}", queues=None), []
        for _ in range(STEPS):
            push(engine, *"abc", queue=queues[next(numbers) % len(queues)])
            outcomes = [
                ACK if one.admitted else Park((Rule(f"k{next(numbers) % KEYS}", 2, 50 * MS),), 0)
                for one in claims
            ]
            settled = map(Settlement, claims, outcomes)
            claims = list(worker.step(*settled, want=4).claims)
        engine.close()

    faults = PostgreSQLSession.faults._replace(can_retry=note)
    monkeypatch.setattr(PostgreSQLSession, "faults", faults)
    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(work, range(WORKERS)))
    assert met == []
