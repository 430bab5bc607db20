"""Redis and Valkey run every script, and in them every command that poolq uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from typing import Any

import pytest
from msgspec.structs import replace

from poolq.engines.base import ASK, Push
from poolq.engines.redis import scripts
from poolq.engines.redis.client import RedisClient
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.redis.scripts import SCRIPTS
from poolq.engines.schedule_store import NewSchedule, Tick
from poolq.errors import Fenced
from poolq.jobs.limits import Gate
from poolq.jobs.unique import UniqueKey
from tests.conftest import OwnRedis
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, bury, full, new_id, park, push, sweep_all
from tests.contract.test_fuzz_store import acts, good_jobs_end, scene
from tests.support.servers import Redis, Valkey


def commands() -> Iterator[str]:
    """The commands in the scripts."""
    for file in (files(scripts.__package__) / "lua").rglob("*.lua"):  # type: ignore[attr-defined]
        yield from re.findall(r"\bcall\('([A-Z]+)'", file.read_text("utf-8"))


@pytest.mark.parametrize("kind", [Redis, Valkey])
def test_every_script_and_every_command_runs(
    kind: type[Redis],
    own_redis: OwnRedis,
    opened: OpenEngine,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: set[str] = set()
    run = RedisClient.run_unchecked

    def noting(client: RedisClient, name: str, *args: Any) -> Any:
        ran.add(name)
        return run(client, name, *args)

    monkeypatch.setattr(RedisClient, "run_unchecked", noting)
    server = own_redis(kind, durable=False)
    engine: RedisEngine = opened(server.url, namespace)
    assert engine.prepare() is not None
    scene(engine)
    for act in acts(engine, []):
        with suppress(Fenced):  # some workers do not exist
            act()
    good_jobs_end(engine)
    worker = Worker(engine, "w3", "n3")
    assert engine.forget([bury(worker)])
    late = Push(new_id(), "q", b"late", expires=1_000_000)
    engine.push([late])
    assert engine.cancel([late.id]) == [late.id]
    (waiting,) = push(engine, "waiting")
    assert engine.find(waiting) is not None
    assert engine.page("ready").jobs
    assert engine.ids(waiting) == [waiting]
    assert engine.move([waiting], "q2") == [waiting]
    assert engine.cancel([waiting]) == [waiting]
    assert engine.cancel(push(engine, "late", expires=1))
    for replaces in (False, True):
        one = Push(new_id(), "q", b"a", unique=UniqueKey("k", "start", 0, replaces))
        assert engine.push([one]) == [one.id]
    assert engine.cancel([one.id]) == [one.id]
    both = [Push(new_id(), "q", b"a", unique=UniqueKey(key, "end")) for key in "kl"]
    assert engine.push(both) == engine.cancel([one.id for one in both])
    parked = Push(new_id(), "q", b"a", gate=Gate("gate", 1))
    engine.push([parked])
    assert engine.cancel([parked.id]) == [parked.id]
    assert engine.doctor()
    engine.wait(["q"], 0)
    rule = full(engine, "line")
    park(worker, "parked", rules=[rule])
    engine.accept("w3")
    (claim,) = worker.claim(ASK)
    assert claim.asks
    assert engine.admit([rule], ("w3", claim)).wait > 0
    gate = Gate("gate", 1)
    assert engine.admit([gate], ("w3", claim)).wait == 0, "by the last part of admit, as it asks"
    engine.set_limit("line", rule.window, 1)
    assert engine.reset_limit("line", rule.window, False)
    gated = worker.take("gated")
    assert engine.admit([gate], ("w3", gated)).wait > 0
    engine.set_limit("line", rule.window, 2)
    assert engine.reset_limit("line", rule.window, False)
    assert engine.hold("line", 1_000_000) > 0
    sweep_all(engine, 0)
    assert engine.lift("line")
    assert engine.request_cancel([claim.id], 1) == [claim.id]
    assert [one.id for one in engine.cancel_requests("n3")] == [claim.id]
    worker.end(claim)
    schedules_work(engine)
    assert SCRIPTS.keys() == ran
    with server.client() as client:
        called = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert {name.lower() for name in commands()} - called == set()


def schedules_work(engine: RedisEngine) -> None:
    store = engine.schedules
    engine.beat("k1", b"{}")
    store.declare("k1", 1, [NewSchedule("a", "a1", b"spec", 1)])
    assert store.look(9).due
    pushes = [Push(new_id(), "q", b"body", 0, at) for at in (1, 2**52)]
    assert store.tick([Tick("a", "a1", 1, 2, "skip", 1, pushes)]) == ["stored"]
    assert store.tick([Tick("a", "a1", 2, 3, "buffer", 2, pushes)]) == ["waiting"]
    unique = [replace(pushes[1], unique=UniqueKey("tick", "end"))]
    assert store.tick([Tick("a", "a1", 2, 3, "allow", 2, unique)]) == ["lost"]
    assert store.pause("a")
    store.declare("k1", 1, [])
    assert sorted(store.soonest(9)) == store.all()
