"""What `poolq` and the functions of applications say of stored jobs, on each engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolq.engines.base import Engine, Push
from poolq.engines.search import JobFilter, pages
from poolq.jobs.limits import Gate, Limit
from poolq.jobs.message import State
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS
from poolq.jobs.outcomes import Bury, Release
from poolq.jobs.unique import UniqueKey, Until
from tests.contract.helpers import HOUR, Worker, new_id, push
from tests.support.cli import Command


@pytest.fixture
def poolq(engine: Engine, tmp_path: Path) -> Command:
    (tmp_path / "poolq.toml").touch()
    return Command(tmp_path, POOLQ_ENGINE=engine.url, POOLQ_NAMESPACE=engine.namespace)


def unique(key: str, until: Until = "end") -> Push:
    body = MessageTemplate("jobs:Sync", DEFAULTS).push({}, 1 << 20).body
    return Push(new_id(), "q", body, unique=UniqueKey(key, until, HOUR * (until == "time")))


def fail(engine: Engine, worker: Worker, *pushes: Push) -> list[str]:
    """Store jobs one after the other, and have each fail; their ids."""
    for one in pushes:
        assert engine.push([one]) == [one.id]
        worker.end(worker.claim()[0], Bury(State(1)))
    return [one.id for one in pushes]


@pytest.mark.parametrize("chosen", ["all", "ids"])
def test_a_dry_run_says_what_the_retry_will_do(
    poolq: Command, engine: Engine, worker: Worker, chosen: str
) -> None:
    """Another job has a key; two failed jobs have one key, of which one retry takes it; a key that
    is kept for a time or that nobody has is in nobody's way."""
    ids = fail(
        engine, worker,
        unique("taken"), unique("shared"), unique("shared"), unique("free"),
        unique("start", "start"), unique("timed", "time"),
    )  # fmt: skip
    engine.push([unique("taken"), unique("start", "start")])
    wanted = ["--all"] if chosen == "all" else ids
    before = poolq("failed", "retry", *wanted, "--dry-run", "--json")
    assert len(engine.failed()) == len(ids), "it was dry"
    after = poolq("failed", "retry", *wanted, "--json")
    assert (before.code, after.code) == (1, 1)
    assert before.json["count"] == after.json["count"] == len(ids) - 3
    assert len(before.json["refused"]) == len(after.json["refused"]) == 3
    assert f"{before.err}".count("has its unique key") == 3 or chosen == "all"
    assert {one.id for one in engine.failed()} == set(after.json["refused"])


def test_a_dry_run_shows_only_what_would_be_retried(
    poolq: Command, engine: Engine, worker: Worker
) -> None:
    taken, free = fail(engine, worker, unique("taken"), unique("free"))
    engine.push([unique("taken")])
    done = poolq("failed", "retry", "--all", "--dry-run")
    assert (done.code, free in done.out, taken in done.out) == (1, True, False)
    assert "1 job would be retried" in done.err


@pytest.mark.parametrize("put_off", [False, True])
def test_a_job_that_starts_or_is_put_off_during_a_listing_is_listed_once(
    engine: Engine, worker: Worker, put_off: bool
) -> None:
    ids = push(engine, *"abcdef")
    found: list[str] = []
    for page in pages(engine, JobFilter(), 2):
        found += [one.id for one in page]
        if found == ids[:2]:
            first, *_ = worker.claim(4)
            if put_off:
                worker.end(first, Release(HOUR, State(1)))
    assert sorted(found) == sorted(ids)


def test_a_short_window_is_set_as_the_code_has_it(poolq: Command, engine: Engine) -> None:
    assert poolq("limit", "set", "api", "5/1ms").code == 0
    (use,) = engine.limits()
    assert use.rule == Limit(5, seconds=0.001, key="api").rule("")


def test_the_number_of_a_concurrent_is_not_set_while_jobs_have_or_want_a_slot(
    poolq: Command, engine: Engine, worker: Worker
) -> None:
    claim = worker.take("a")
    assert engine.admit([Gate("tenant", 2)], (worker.name, claim)).wait == 0
    done = poolq("limit", "set", "tenant", "5/1s")
    assert (done.code, done.out) == (1, "")
    assert "tenant is the key of a Concurrent(2), whose number cannot be set" in done.err
    assert [use.rule for use in engine.limits()] == [Gate("tenant", 2)]
