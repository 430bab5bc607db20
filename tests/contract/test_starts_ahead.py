"""Under a limit of many starts, a worker on an SQL engine takes some ahead with one exchange."""

from __future__ import annotations

import pytest

from poolq.engines.base import Claim
from poolq.engines.sql.claims import admitting
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.limits import starts_ahead
from poolq.engines.sql.limits.starts_ahead import LIFETIME, QUICK, SHARE
from poolq.jobs.limits import Asked, Rule
from tests.contract.helpers import SECOND, Worker, gate, push, used
from tests.support.clock import Clock

AHEAD = 50
WIDE = Rule("k", AHEAD * SHARE, SECOND)
SHORT = Rule("k", 600, SECOND // 2)


class Pace:
    """The clock by which starts are taken ahead. It moves by a microsecond when it is read."""

    def __init__(self) -> None:
        self.now = 1000.0

    def read(self) -> float:
        self.now += 1e-6
        return self.now


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> Pace:
    made = Pace()
    monkeypatch.setattr(starts_ahead, "monotonic", made.read)
    monkeypatch.setattr(admitting, "monotonic", made.read)
    return made


@pytest.fixture
def engine(sql: SQLEngine) -> SQLEngine:
    return sql


@pytest.fixture(autouse=True)
def still(clock: Clock) -> Clock:
    """The engine's clock stands still."""
    return clock


def claimed(worker: Worker, count: int) -> list[Claim]:
    push(worker.engine, *map(str, range(count)))
    return worker.claim(count)


def admitted(worker: Worker, claims: list[Claim], *rules: Asked) -> int:
    """How many of these claims may start."""
    asked = rules or (WIDE,)
    return sum(not worker.engine.admit(asked, (worker.name, one)).wait for one in claims)


def test_jobs_that_start_one_after_another_share_an_exchange(
    engine: SQLEngine, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = claimed(worker, 2 + 2 * AHEAD)
    session, done = engine.session, list[object]()
    transact = session.transact

    def count(*args, **more):  # type: ignore[no-untyped-def]
        done.append(args)
        return transact(*args, **more)

    assert admitted(worker, claims[:1]) == 1
    monkeypatch.setattr(session, "transact", count)
    assert admitted(worker, claims[1:]) == len(claims) - 1
    assert len(done) == 2  # for one and 50 more each
    assert used(engine)["k"] == len(claims) + 1


def test_no_window_has_a_start_more_or_less_than_its_limit(
    engine: SQLEngine, worker: Worker, other_worker: Worker
) -> None:
    claims = [(one, claimed(one, 400)) for one in (worker, other_worker)]
    found = sum(admitted(one, [mine[at]], SHORT) for at in range(400) for one, mine in claims)
    assert (found, used(engine)["k"]) == (600, 600)


def test_a_start_that_was_taken_ahead_is_used_soon_or_never(
    engine: SQLEngine, worker: Worker, pace: Pace
) -> None:
    claims = claimed(worker, 4)
    admitted(worker, claims[:2])
    pace.now += LIFETIME
    assert admitted(worker, claims[2:3]) == 1
    assert used(engine)["k"] == 3 + AHEAD
    assert admitted(worker, claims[3:]) == 1
    assert used(engine)["k"] == 4 + 2 * AHEAD


def test_a_start_that_was_taken_ahead_begins_in_its_window(
    worker: Worker, engine: SQLEngine, pace: Pace, still: Clock
) -> None:
    claims = claimed(worker, 3)
    admitted(worker, claims[:1], SHORT)
    still.forward(SHORT.window - 1000)  # a millisecond before its end
    admitted(worker, claims[1:2], SHORT)
    assert used(engine)["k"] == 2 + SHORT.limit // SHARE
    pace.now += 0.001
    still.forward(1000)
    assert admitted(worker, claims[2:], SHORT) == 1
    assert used(engine)["k"] == 1


def test_a_worker_takes_as_many_as_it_will_use(
    engine: SQLEngine, worker: Worker, pace: Pace
) -> None:
    claims = claimed(worker, 4)
    for claim, taken in zip(claims, (1, 2, 3, 4), strict=True):
        admitted(worker, [claim])
        pace.now += 0.12 * LIFETIME
        assert used(engine)["k"] == taken


@pytest.mark.parametrize(
    "rules",
    [
        [Rule("k", QUICK, SECOND)],
        [Rule("k", QUICK * 60, 60 * SECOND)],
        [WIDE._replace(cost=2)],
        [WIDE._replace(sliding=True)],
        [WIDE, Rule("l", 5, SECOND)],
        [WIDE, gate("l", 5)],
    ],
)
def test_starts_are_asked_for_one_by_one_under_other_limits(
    engine: SQLEngine, worker: Worker, rules: list[Asked]
) -> None:
    admitted(worker, claimed(worker, 3), *rules)
    assert used(engine)["k"] == sum(getattr(rules[0], "cost", 1) for _ in range(3))


def test_none_is_taken_ahead_under_a_low_limit_that_a_person_has_set(
    engine: SQLEngine, worker: Worker
) -> None:
    engine.set_limit("k", WIDE.window, 3)
    assert admitted(worker, claimed(worker, 5)) == 3
    assert used(engine)["k"] == 3


def test_a_hold_counts_before_the_next_exchange(
    engine: SQLEngine, worker: Worker, pace: Pace
) -> None:
    claims = claimed(worker, 3)
    admitted(worker, claims[:2])
    engine.hold("k", 60 * SECOND)
    pace.now += LIFETIME
    assert admitted(worker, claims[2:]) == 0


def test_a_job_that_must_ask_uses_none_that_was_taken_ahead(
    engine: SQLEngine, worker: Worker
) -> None:
    """Its rules are to apply to the lines of its limits."""
    *claims, asking = claimed(worker, 3)
    admitted(worker, claims)
    before = used(engine)["k"]
    assert admitted(worker, [asking._replace(asks=1)]) == 1
    assert used(engine)["k"] == before + 1


def test_what_was_not_stored_is_not_used(
    engine: SQLEngine, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = claimed(worker, 3)
    admitted(worker, claims[:1])
    with monkeypatch.context() as patch:
        patch.setattr(admitting, "take_ahead", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            admitted(worker, claims[1:2])
    before = used(engine).get("k", 0)  # on servers, a new connection's clock may be in a new window
    assert admitted(worker, claims[1:]) == 2
    assert used(engine)["k"] == before + 1 + AHEAD
