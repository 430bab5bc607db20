"""Pools and producers on PostgreSQL, behind PgBouncer and with no more rights than they need."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.process.conftest import MakeProject
from tests.support.cli import Command
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import PostgreSQL
from tests.support.project import Project
from tests.support.wait import until

PRODUCE = """
import poolq, jobs
poolq.dispatch_many(jobs.Quick, [{}] * 50)
print(jobs.Quick.dispatch().new, jobs.Quick.set(delay="1h").dispatch().new)
print(*[jobs.Quick.set(unique=poolq.Unique()).dispatch().new for _ in range(2)])
"""


@pytest.fixture
def project(make_project: MakeProject, postgresql_server: PostgreSQL) -> Project:
    return make_project(postgresql_server.url)


@pytest.fixture
def role(postgresql_server: PostgreSQL) -> Iterator[str]:
    """A role without rights."""
    name = f"shop{secrets.token_hex(4)}"
    with postgresql_server.connect() as raw:
        raw.execute(f"CREATE ROLE {name} LOGIN".encode())
        yield name
        raw.execute(f"DROP OWNED BY {name}".encode())
        raw.execute(f"DROP ROLE {name}".encode())


def producing(project: Project, url: str) -> str:
    """What a producer prints that reaches the project's jobs in this way."""
    own, project.url = project.url, url
    try:
        return project.produce(PRODUCE)
    finally:
        project.url = own


def grant(project: Project, raw_url: PostgreSQL, role: str, *flags: str) -> None:
    """Run what `poolq db sql --grants` prints."""
    poolq = Command(project.folder, POOLQ_ENGINE=project.url, POOLQ_NAMESPACE=project.namespace)
    done = poolq("db", "sql", f"--grants={role}", *flags)
    assert done.code == 0
    with raw_url.connect() as raw:
        raw.execute(done.out.encode())


def test_producers_work_through_transaction_mode_and_pools_say_that_they_do_not(
    project: Project, transaction_pooler: PgBouncer
) -> None:
    assert producing(project, transaction_pooler.url) == "True True\nTrue False\n"
    pool = project.pool(2, url=transaction_pooler.url)
    assert pool.wait_exit() == 78
    (line,) = [one for one in pool.log.splitlines() if "error: " in one]
    assert "?pooler=session" in line
    project.ready(2)
    until(lambda: project.left() == 1, what="all jobs but the one that is due in an hour")
    assert len(project.ledger.lines("end")) == 52


def test_the_printed_grants_are_what_a_producer_and_a_pool_need(
    project: Project, postgresql_server: PostgreSQL, role: str
) -> None:
    url = project.url.replace("//poolq@", f"//{role}@")
    grant(project, postgresql_server, role, "--producer=unique")
    assert producing(project, url) == "True True\nTrue False\n"
    pool = project.pool(2, url=url)
    assert pool.wait_exit() == 78
    (line,) = [one for one in pool.log.splitlines() if "error: " in one]
    assert f'TO "{role}";' in line
    grant(project, postgresql_server, role)
    project.ready(2, url=url)
    until(lambda: project.left() == 1, what="all jobs but the one that is due in an hour")


def test_grants_are_for_postgresql(poolq: Command) -> None:
    assert "--grants is only for postgresql://" in poolq("db", "sql", "--grants=shop").err
    assert "--producer needs --grants=ROLE" in poolq("db", "sql", "--producer").err
    said = poolq("db", "sql", "--grants=shop", "--producer=unique,concurent").err
    assert "did you mean concurrent?" in said
