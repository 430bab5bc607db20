"""A pool that is idle, and jobs that become visible long after they were stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from time import monotonic

import pytest

import poolq
from tests.process.engines import on
from tests.support.layers import LAYERS, Layer
from tests.support.pool import FOR_MINUTES
from tests.support.producing import MODULE, produce_to
from tests.support.project import Project
from tests.support.wait import as_busy, until


@pytest.fixture
def layer(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layer]:
    monkeypatch.setattr(MODULE, "_chosen", produce_to(project.engine))  # type: ignore[arg-type]  # any
    with closing(LAYERS["driver"](project.url)) as opened:
        yield opened


@on("mariadb", "postgresql")
@pytest.mark.parametrize("queue", ["default", "fresh", "named"])
def test_a_commit_after_later_jobs_wakes_an_idle_pool(
    project: Project, layer: Layer, queue: str
) -> None:
    """The job is due before what the pool has seen, or the first one of its queue. The pool finds
    it by itself: with PostgreSQL, `test_who_waits_is_told_after_the_commit` shows that it is told.
    """
    names = ["--queue=named,default"] if queue == "named" else []
    project.ready(2, *FOR_MINUTES, *names).until_idle(2)
    for _ in range(3):
        layer.begin()
        with poolq.within(layer.given, notify=False):
            early = poolq.dispatch("jobs:Quick", queue=queue)
        project.ledger.until("end", project.dispatch("Quick"))
        layer.commit()
        project.ledger.until("end", early)


@on("mariadb", "postgresql", "sqlite")
def test_a_job_of_a_long_transaction_starts_soon_after_the_commit(
    project: Project, layer: Layer
) -> None:
    """It is stored as of 30 s ago, and nothing else lets the pool look for minutes."""
    project.ready(2, *FOR_MINUTES).until_idle(2)

    def ordinary() -> float:
        began = monotonic()
        return project.ledger.until("start", project.dispatch("Quick"))[0].at - began

    longest = max(ordinary() for _ in range(3))
    for notify in (False, True, False):
        layer.begin()
        with poolq.within(layer.given, notify=notify):
            early = poolq.dispatch("jobs:Quick")
        jobs = f"{project.namespace}_jobs"
        layer.execute(f"UPDATE {jobs} SET due_at = due_at - 30000000 WHERE id = '{early}'")
        layer.commit()
        committed = monotonic()
        waited = project.ledger.until("start", early)[0].at - committed
        assert waited <= max(1.1 * longest, as_busy(1.2))


@on("mariadb", "postgresql")
@pytest.mark.parametrize("flags", [(), ("--queue=named,default",)], ids=["all", "named"])
def test_a_commit_after_later_jobs_is_found_by_a_busy_pool(
    project: Project, layer: Layer, flags: tuple[str, ...]
) -> None:
    """The job is due before those that were claimed last, behind which there are always more."""
    project.ready(2, *FOR_MINUTES, *flags)
    layer.begin()
    with poolq.within(layer.given):
        early = poolq.dispatch("jobs:Quick")
    many = 6000  # for minutes
    project.dispatch_many("Brief", many)
    project.ledger.until("start", times=50)
    layer.commit()
    project.ledger.until("end", early)
    assert project.left() > many // 2


@on("sqlite")
def test_a_pool_goes_on_after_a_transaction_that_locked_it_out(
    project: Project, layer: Layer
) -> None:
    pool = project.ready(1, "--node-ttl=1200", "--sleep=0.1")
    layer.begin()
    with poolq.within(layer.given):
        early = poolq.dispatch("jobs:Quick")
    until(lambda: "the database has been locked for 5 s" in pool.log)
    layer.commit()
    project.ledger.until("end", early)
    project.ledger.until("end", project.dispatch("Quick"))
