"""A job that changes its table while somebody looks for it is found."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine
from poolq.engines.sql.administration import stored_jobs
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Query, QueryResult, Session
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, bury


@pytest.mark.parametrize("engine_url", ["mariadb", "postgresql", "sqlite"], indirect=True)
def test_a_failed_job_that_is_retried_meanwhile_is_found(
    engine: Engine, opened: OpenEngine, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the one table after the other was read."""
    failed = bury(worker)
    other = opened(engine.url, engine.namespace)
    assert isinstance(engine, SQLEngine)
    kind: type[Session] = type(engine.session)
    read = kind.read

    def read_slowly(self: Session, *queries: Query) -> list[QueryResult]:
        found: list[QueryResult] = []
        for query in queries:
            if query.sql == stored_jobs.FIND_FAILED and self is engine.session:
                assert other.retry([failed]) == [failed]
            found += read(self, query)
        return found

    monkeypatch.setattr(kind, "read", read_slowly)
    job = engine.find(failed)
    assert job is not None
    assert job.status == "ready"
