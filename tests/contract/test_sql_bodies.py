"""Big bodies on the SQL engines: a step or a push transfers a few megabytes at most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from poolq.engines.base import CLAIM_BYTES, Push, Settlement
from poolq.engines.sql import new_jobs
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Session
from poolq.engines.sqlite import SQLiteEngine
from poolq.engines.sqlite.session import SQLiteSession
from poolq.jobs.outcomes import ACK
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, count_of, push

MIB = 1 << 20
HALF = CLAIM_BYTES // 2


def sized(letter: str, size: int) -> str:
    return letter * size


def batches(worker: Worker) -> list[str]:
    """The first letters of the jobs of each claim, until there are no more."""
    found = []
    while claims := worker.claim(50):
        again = worker.again(want=50).claims
        assert again == claims, "a step whose answer was lost gets the same one"
        assert {claim.body[:1] for claim in claims} == {
            bytes([b]) for c in claims for b in c.body[-1:]
        }
        found.append("".join(claim.body[:1].decode() for claim in claims))
        assert worker.step(*(Settlement(claim, ACK) for claim in claims)).stale == []
    return found


def test_claiming_ends_when_the_bodies_exceed_the_limit_of_a_step(sql: SQLEngine) -> None:
    for letter in "abcdefgh":
        push(sql, sized(letter, HALF))
    assert batches(Worker(sql)) == ["abc", "def", "gh"]


def test_a_body_above_the_limit_is_claimed_alone_or_last(sql: SQLEngine) -> None:
    for letter, size in zip("abcdefg", (2, 1, 1, 2 * HALF + 9, 2 * HALF + 9, 1, 2), strict=True):
        push(sql, sized(letter, size))
    assert batches(Worker(sql)) == ["abcd", "e", "fg"]


def test_small_bodies_count_too(sql: SQLEngine) -> None:
    push(sql, sized("a", HALF), sized("b", HALF - 9), *"cdefghijklmnop")
    assert batches(Worker(sql)) == ["abcdefghijkl", "mnop"]


def test_all_queues_share_the_limit_of_a_step(sql: SQLEngine) -> None:
    for queue in ("q", "r", "s"):
        push(sql, sized(queue, HALF), sized(queue, 9), queue=queue)
    assert batches(Worker(sql, queues=("q", "r", "s"))) == ["qqr", "rss"]


@pytest.mark.parametrize("big", [1, 12])
def test_a_push_blocks_others_for_a_few_megabytes_at_most(
    tmp_path: Path, opened: OpenEngine, monkeypatch: pytest.MonkeyPatch, big: int
) -> None:
    engine: SQLiteEngine = opened(f"sqlite:///{tmp_path}/poolq.db", "poolq")
    stored = []
    store = new_jobs._store

    def noting(session: Session, pushes: Sequence[Push]) -> bool:
        stored.append(sum(len(one.body) for one in pushes))
        return store(session, pushes)

    monkeypatch.setattr(new_jobs, "_store", noting)
    push(engine, *("x" * (big * MIB) for _ in range(6)), *"abc")
    assert len(stored) > 1
    assert max(stored) <= max(SQLiteSession.stored_bytes, big * MIB) + 3
    assert count_of(engine).ready == 9
