"""A store that was reset to an earlier state: a promoted replica, a restored file.

A worker that goes on would keep claims of which it knows nothing, or has settled them already.
"""

from __future__ import annotations

import pytest

from poolq.engines.base import Settlement
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Query
from poolq.errors import Fenced
from poolq.jobs.outcomes import ACK
from tests.contract.helpers import Worker, named, push


class Copy:
    """The current content of the tables, to be restored later."""

    def __init__(self, engine: SQLEngine) -> None:
        self._engine = engine
        answers = [one for one in engine.texts.tables if one == "answers"]
        self._tables = ["jobs", "workers", *answers]
        found = engine.session.read(*(Query(f"SELECT * FROM {{{one}}}") for one in self._tables))
        self._rows = [result.rows for result in found]

    def restore(self) -> None:
        ops = []
        for table, rows in zip(self._tables, self._rows, strict=True):
            ops.append(Query(f"DELETE FROM {{{table}}}"))
            for row in rows:
                marks = ", ".join("?" * len(row))
                ops.append(Query(f"INSERT INTO {{{table}}} VALUES ({marks})", row))
        self._engine.session.transact(lambda tx: tx.later(*ops))


def test_a_worker_whose_step_was_lost_is_fenced(sql: SQLEngine) -> None:
    worker = Worker(sql)
    push(sql, *"abc")
    (first,) = worker.claim()
    copy = Copy(sql)
    (second,) = worker.step(Settlement(first, ACK), want=1).claims
    copy.restore()
    with pytest.raises(Fenced, match="lost"):
        worker.step(Settlement(second, ACK), want=1)
    assert sorted(sql.recover("w1", None).crashed) == [first.id]
    assert named(Worker(sql, "w2").claim(9)) == ["a", "b", "c"]


def test_a_step_lost_in_flight_is_repeated(sql: SQLEngine) -> None:
    worker = Worker(sql)
    push(sql, *"ab")
    (first,) = worker.claim()
    copy = Copy(sql)
    worker.step(Settlement(first, ACK), want=1)
    copy.restore()
    assert named(worker.again(Settlement(first, ACK), want=1).claims) == ["b"]


def test_a_worker_whose_first_step_was_lost_begins_again(sql: SQLEngine) -> None:
    worker = Worker(sql)
    push(sql, "a")
    copy = Copy(sql)
    worker.step(want=0)
    copy.restore()
    assert named(worker.claim()) == ["a"]
