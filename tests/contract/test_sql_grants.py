"""How many parked jobs of a line a step on an SQL engine takes, and how many it locks for that."""

from __future__ import annotations

import pytest

from poolq.engines.base import Settlement
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.limits.granting import FIRST_READ, LOCK_HEADS
from poolq.engines.sql.session import Query, Transaction
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import Park
from tests.contract.helpers import HOUR, Worker, named, push, used

MANY = 3 * FIRST_READ
WIDE = Rule("k", 10 * MANY, HOUR)


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """How many heads of a line steps were to lock, each time."""
    found: list[object] = []
    run = Transaction.run

    def note(tx: Transaction, *queries: Query):  # type: ignore[no-untyped-def]
        found.extend(query.args[-1] for query in queries if query.sql == LOCK_HEADS)
        return run(tx, *queries)

    monkeypatch.setattr(Transaction, "run", note)
    return found


def park_many(engine: SQLEngine, even: list[Rule], odd: list[Rule]) -> Worker:
    """Park MANY jobs of one line, under these rules in turn. All of them may start."""
    worker = Worker(engine)
    push(engine, *map(str, range(MANY)))
    waits = [Park(tuple(rules), 0) for rules in (even, odd)]
    claims = worker.claim(MANY)
    worker.step(*(Settlement(one, waits[one.index % 2]) for one in claims))
    return worker


def test_a_step_takes_as_many_jobs_of_a_line_as_it_wants(
    sql: SQLEngine, locked: list[object]
) -> None:
    worker, want = park_many(sql, [WIDE], [WIDE]), MANY - 10
    claims = worker.claim(want)
    assert named(claims) == [str(number) for number in range(want)]
    assert all(claim.admitted for claim in claims)
    assert used(sql)["k"] == want
    assert locked == [FIRST_READ, want]


@pytest.mark.parametrize(
    ("even", "odd"),
    [
        ([WIDE], [WIDE, Rule("l", MANY, HOUR)]),
        ([WIDE._replace(sliding=True)], [WIDE._replace(sliding=True)]),
    ],
    ids=["different rules", "a sliding limit"],
)
def test_a_step_does_not_lock_many_jobs_to_take_few(
    sql: SQLEngine, locked: list[object], even: list[Rule], odd: list[Rule]
) -> None:
    worker = park_many(sql, even, odd)
    assert 1 <= len(worker.claim(MANY)) < FIRST_READ
    assert locked == [FIRST_READ]
