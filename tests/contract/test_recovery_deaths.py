"""Deaths amid a recovery, and what others do meanwhile: each job of the dead worker is settled,
given back or charged once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from poolq.engines.base import Engine, QueueCounts, Recovered, Settlement
from poolq.engines.redis import recovering
from poolq.engines.redis.engine import RedisEngine
from poolq.errors import Fenced
from poolq.jobs.outcomes import ACK
from tests.contract.deaths import Mortal
from tests.contract.helpers import Worker, count_of, died, named, new_id, push, total

on_redis = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)
NAMES = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a recovery end two claims at once."""
    monkeypatch.setattr(recovering, "CLAIMS_PER_CALL", 2)


def dead_worker(engine: Engine) -> Worker:
    """A worker that died with six claims: two are finished, and `c` was running."""
    worker = Worker(engine, f"dead-{new_id()}")
    push(engine, *NAMES)
    assert named(worker.claim(6)) == NAMES
    return worker


DEATH = died(finished=2, started=2)


def left(engine: Engine) -> list[tuple[str, int]]:
    """Claim and settle all jobs. Returns the name and the crashes of each, in their order."""
    heir = Worker(engine, f"heir-{new_id()}", "n2")
    claims = heir.claim(9)
    heir.step(*(Settlement(claim, ACK) for claim in claims))
    assert count_of(engine) == QueueCounts("q")
    return [(claim.body.decode(), claim.state.crashes) for claim in claims]


AFTER = [("c", 1), ("d", 0), ("e", 0), ("f", 0)]


@pytest.mark.parametrize("death", [DEATH, None], ids=["the same report", "no report"])
def test_a_keeper_that_dies_at_any_moment_of_a_recovery(
    engine: Engine, mortal: Mortal, death: Any
) -> None:
    """The next keeper has the same report, or the scoreboard is gone, too. Then it takes the first
    claim that is left for the running one."""
    ways = set[str]()
    for die in mortal.moments():
        worker = dead_worker(engine)
        die(partial(mortal.engine.recover, worker.name, DEATH))
        engine.recover(worker.name, death)
        assert worker.name not in [one.worker for one in engine.registered()]
        jobs = left(engine)
        if death is None and jobs != AFTER:
            assert jobs == [("a", 1), ("b", 0), ("c", 0), *AFTER[1:]]
        else:
            assert jobs == AFTER
        ways.add(jobs[0][0])
    assert ways == ({"c"} if death else {"a", "c"})


def meanwhile(engine: Engine, name: str, act: Callable[[], None], monkeypatch: Any) -> None:
    """Do something right before each call of this script."""
    assert isinstance(engine, RedisEngine)
    real = engine.client.run

    def run(script: str, *args: Any) -> Any:
        if script == name:
            act()
        return real(script, *args)

    monkeypatch.setattr(engine.client, "run", run)


@on_redis
def test_a_worker_that_was_only_slow_changes_nothing_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = dead_worker(engine)
    refused: list[Exception] = []

    def step() -> None:
        with pytest.raises(Fenced) as caught:
            worker.step(want=1)
        refused.append(caught.value)

    push(engine, "g")
    meanwhile(engine, "end_claims", step, monkeypatch)
    engine.recover(worker.name, DEATH)
    assert len(refused) == 3
    assert left(engine) == [*AFTER, ("g", 0)]


@on_redis
@pytest.mark.parametrize("place", range(6))
def test_a_job_that_is_cancelled_meanwhile_does_not_run_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """A person was told that the job ran, and that it is cancelled."""
    worker = dead_worker(engine)
    asked: list[str] = []
    ids = [job.id for job in engine.page("running").jobs]

    def cancel() -> None:
        if not asked:
            asked.extend(engine.request_cancel([ids[place]], 0))

    meanwhile(engine, "end_claims", cancel, monkeypatch)
    recovered = engine.recover(worker.name, DEATH)
    assert asked == [ids[place]]
    assert (ids[place] in recovered.done) == (place < 2), "a finished job is done"
    assert total(engine, "cancelled") == (place >= 2)
    assert left(engine) == [one for one in AFTER if one[0] != NAMES[place]]
    assert engine.cancel_requests("n1") == []


@on_redis
def test_of_two_keepers_each_claim_is_ended_by_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one begins and ends before each page of the first."""
    worker = dead_worker(engine)
    second: list[Recovered] = []

    def recover() -> None:
        monkeypatch.undo()
        second.append(engine.recover(worker.name, DEATH))

    meanwhile(engine, "end_claims", recover, monkeypatch)
    assert engine.recover(worker.name, DEATH) == Recovered()
    assert [len(ids) for ids in second[0]] == [2, 1, 3, 0, 0]
    assert (total(engine, "done"), total(engine, "crashed")) == (2, 1)
    assert left(engine) == AFTER


@on_redis
def test_a_node_that_beats_meanwhile_keeps_the_workers_that_are_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = engine.beat("n1", b"")["n1"]
    workers = [dead_worker(engine), Worker(engine, "idle")]
    seen: list[str] = []

    def revive() -> None:
        if seen:
            engine.beat("n1", b"")
        seen.append("")

    meanwhile(engine, "claims_of", revive, monkeypatch)
    recovered = engine.reap("n1", beat)
    assert recovered is not None
    (alive,) = {one.worker for one in engine.registered()}
    names = {worker.name for worker in workers}
    assert alive in names
    assert sum(map(len, recovered)) == (0 if alive != "idle" else 6)
    assert [node.node for node in engine.nodes()] == ["n1"]
    (survivor,) = (worker for worker in workers if worker.name == alive)
    survivor.step()
