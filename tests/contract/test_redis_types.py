"""A key of the wrong type can make a script fail at any point, but no job may be lost.

A script that fails is not rolled back, so each does first what may fail.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
import redis

from poolq.engines.base import Claim, Engine, Settlement
from poolq.errors import EngineError
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Bury, Failing, Outcome, Park, Release, ReleaseUntil
from tests.contract.helpers import HOUR, MS, Worker, bury, named, push, wait_for

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)

RULE, FREE = Rule("full", 1, HOUR), Rule("free", 99, HOUR)
LINES = [f"line:1:q:{HOUR}:{key}" for key in ("full", "free")]
KEYS = [
    *("version", "active", "later", "idle", "failures", "named", "named:q"),
    *("states", "known", "paused", "back:q", "granted", "ready:q", "delayed:q", "lines:q", "lined"),
    *("limits:q", "marked:q", "parkrules:q", "held:q", "heldby:q", "released:q", "latest", "holds"),
    *("failed", "failed:q", "windows", f"win:{HOUR}:full", f"win:{HOUR}:free", "counters"),
    *("workers", "worker:w1", "worker:w2", "nodes", "nodeinfo", "node:n1", "wake:q", "wake"),
    *("bodies", *LINES),
]


class Scene:
    """A job in each possible place. `held`: claims to be settled."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ids: dict[str, str] = {}
        self.one, self.two, self.three = (Worker(engine, name) for name in ("w1", "w2", "w3"))
        engine.admit([RULE])
        self.held = self._claims(self.two, 9, "q")
        self.failed = self.ids["failed"] = bury(self.one, "failed")
        self.soon = engine.now() + 50 * MS
        places: dict[str, Outcome] = {
            "parked": Park((RULE,), 0),
            "free": Park((FREE, RULE), 0),
            "free too": Park((FREE,), 0),
            "free three": Park((FREE,), 0),
            "held": ReleaseUntil(engine.now() + HOUR, State(1), RULE),
            "held shortly": ReleaseUntil(self.soon, State(1), RULE),
        }
        for name in places:
            self._push(name)
        ends = zip(self.one.claim(len(places)), places.values(), strict=True)
        self.one.step(*(Settlement(claim, outcome) for claim, outcome in ends))
        self._push("delayed", HOUR)
        self._push("due", 1)
        self._claims(self.three, 3)
        self.one.end(self._claims(self.one, 1)[0], GIVE_BACK)
        for n in range(5):
            self._push(f"ready {n}")
        for n in range(5):
            (self.ids[f"plain {n}"],) = push(engine, f"plain {n}", queue="plain")
        engine.accept("w1")

    def _push(self, name: str, delay: int = 0) -> None:
        (self.ids[name],) = push(self.engine, name, delay=delay)

    def _claims(self, worker: Worker, want: int, queue: str = "aside") -> list[Claim]:
        """Claims of new jobs."""
        ids = push(self.engine, *(f"{worker.name} {n}" for n in range(want)), queue=queue)
        self.ids |= {f"{worker.name} {n}": id for n, id in enumerate(ids)}
        return worker.claim(want, [queue])


def acts(scene: Scene) -> list[Callable[[], object]]:
    """All operations that move a job."""
    engine, one, two = scene.engine, scene.one, scene.two
    outcomes: list[Outcome] = [
        Release(0, State(1)),
        Release(HOUR, State(1)),
        ReleaseUntil(engine.now() + HOUR, State(1), RULE),
        ReleaseUntil(1, State(1), RULE),
        Park((RULE,), 0),
        Park((FREE, RULE), 0),
        GIVE_BACK,
        Failing(State(1)),
        Bury(State(1)),
    ]
    settlements = [
        Settlement(claim, outcome) for claim, outcome in zip(scene.held, outcomes, strict=True)
    ]
    return [
        lambda: one.step(want=2, queues=["plain"]),
        lambda: one.step(want=2),
        lambda: one.step(want=2, queues=None),
        *(lambda one=one: two.step(one, want=1) for one in settlements),  # type: ignore[misc]
        lambda: engine.wait(["q"], 0.01),
        lambda: engine.wait(None, 0.01),
        lambda: engine.move(list(scene.ids.values())[::3], "aside"),
        lambda: engine.retry([scene.failed], {scene.failed: b"failed"}),
        lambda: engine.recover("w3", None),
        lambda: engine.beat("n1", b""),
        lambda: engine.wake(None),
        lambda: engine.accept("w1"),
        lambda: engine.sweep(0),
        lambda: one.step(want=99),
    ]


@pytest.mark.parametrize("name", KEYS)
def test_no_job_is_lost(engine: Engine, client: redis.Redis, name: str) -> None:
    scene = Scene(engine)
    head = f"{{{engine.namespace}}}:"
    keys = client.keys(f"{head}bodies:*") if name == "bodies" else [f"{head}{name}".encode()]
    for act in acts(scene):
        kept = {key: client.dump(key) for key in keys}
        for key in keys:
            wrong = client.type(key) != b"string" and b":win:" not in key and b"latest" not in key
            client.delete(key)
            _ = client.set(key, "x") if wrong else client.rpush(key, "x")
        with suppress(EngineError):
            act()
        for key, value in kept.items():
            client.delete(key)
            if value is not None:
                client.restore(key, 0, value)
    lost = {one for one, id in scene.ids.items() if engine.find(id) is None}
    assert lost == set()
    for worker in ("w1", "w2", "w3"):
        engine.recover(worker, None)
    engine.retry([one.id for one in engine.failed()])
    wait_for(engine, scene.soon)
    last = Worker(engine, "w4", queues=["q", "aside", "plain"])
    found: set[str] = set()
    while claims := [claim for _ in range(9) for claim in last.claim(99)]:
        found |= set(named(claims))
        last.step(*(Settlement(claim, ACK) for claim in claims))
    away = {"parked", "free", "held", "delayed"} | {f"w2 {n}" for n in range(6)}
    assert found | away >= set(scene.ids)
