"""What PostgreSQL is sent for new jobs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from psycopg.pq.abc import PGresult

from poolq.engines.base import Push
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.postgresql.statements import Bound
from poolq.engines.sql.session import BatchQuery, Query
from tests.contract.helpers import SECOND, new_id
from tests.support.by_hand import rows


@pytest.mark.parametrize(
    ("queues", "delays", "statements", "arrays"),
    [("aa", (0, 0), 1, 2), ("ab", (0, 0), 1, 3), ("aa", (5, 5), 1, 2), ("aa", (0, 5), 2, 2)],
)
def test_what_new_jobs_share_is_sent_once(
    postgresql: PostgreSQLEngine,
    queues: str,
    delays: tuple[int, int],
    statements: int,
    arrays: int,
) -> None:
    bind, sent = postgresql.session.statements.bind, list[Bound]()

    def note(query: Query | BatchQuery) -> list[Bound]:
        bound = bind(query)
        sent.extend(one for one in bound if b"unnest" in one.statement.sql)
        return bound

    pairs = [pair for pair in zip(queues, delays, strict=True) for _ in range(3)]
    made = [
        Push(new_id(), queue, b"%d" % at, delay * SECOND) for at, (queue, delay) in enumerate(pairs)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgresql.session.statements, "bind", note)
        postgresql.push(made)
    assert len(sent) == statements
    assert sent[0].statement.sql.count(b"unnest") == 1
    assert sent[0].statement.sql.partition(b"unnest")[2].count(b"$") == arrays
    found = rows(postgresql, "SELECT queue, body, place FROM {jobs} ORDER BY body")
    places = ["d" if one.delay else "" for one in made]
    assert found == [(one.queue, one.body, at) for one, at in zip(made, places, strict=True)]


@pytest.mark.parametrize(("options", "statements"), [({}, 1), ({"delay": SECOND}, 2)])
def test_a_job_without_options_is_stored_and_told_of_by_one_statement(
    postgresql: PostgreSQLEngine, options: dict[str, int], statements: int
) -> None:
    sent = list[bytes]()
    run = postgresql.session.wire.run

    def note(bound: Sequence[Bound]) -> list[PGresult]:
        sent.extend(one.statement.sql for one in bound)
        return run(bound)

    postgresql.push([Push(new_id(), "q", b"first")])  # the queue becomes known
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgresql.session.wire, "run", note)
        postgresql.push([Push(new_id(), "q", b"second", **options)])  # type: ignore[arg-type]
    assert len(sent) == statements
    assert sum(one.count(b"pg_notify") for one in sent) == 1
    assert b"RETURNING" not in sent[0]  # each layer would make a row of it
    places = ["", "d" if options else ""]
    assert rows(postgresql, "SELECT place FROM {jobs} ORDER BY body") == [(one,) for one in places]
