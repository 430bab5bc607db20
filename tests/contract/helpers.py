"""Helpers of the contract tests: pushes, a worker that counts its requests, queries.

Job ids ascend in the order in which they are made, like those of `poolq.jobs.ids`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from itertools import count
from typing import Any

import pytest

from poolq.engines.base import (
    Claim,
    DeathReport,
    Engine,
    Push,
    QueueCounts,
    Registration,
    Settlement,
    Step,
    StoredJob,
)
from poolq.jobs.limits import Asked, Gate, Rule
from poolq.jobs.message import Entry, Message, State, encode, entry
from poolq.jobs.outcomes import ACK, Bury, Outcome, Park
from poolq.jobs.unique import UniqueKey, Until
from tests.support.wait import until

MS = 1000  # microseconds
SECOND = 1000 * MS
HOUR = 3600 * SECOND
EVER: Any = object()  # "the queues that this worker was made with"

CLASSES = {
    "redis": "poolq.engines.redis.engine:RedisEngine",
    "mysql": "poolq.engines.mysql:MySQLEngine",
    "postgresql": "poolq.engines.postgresql:PostgreSQLEngine",
    "sqlite": "poolq.engines.sqlite:SQLiteEngine",
}

#: Marks what runs on Valkey too, beside one engine of each kind.
every_engine = pytest.mark.parametrize(
    "engine_url", ["redis", "valkey", "mariadb", "postgresql", "sqlite"], indirect=True
)

_serial = count(1)


def open_engine(url: str, namespace: str, *, migrate: bool = False) -> Engine:
    """A new engine object. `migrate` creates the tables of an engine that needs that."""
    module, _, name = CLASSES[url.partition(":")[0].partition("+")[0]].partition(":")
    engine: Engine = getattr(import_module(module), name)(url, namespace)
    if migrate and name in ("MySQLEngine", "PostgreSQLEngine"):
        engine.schema.migrate()  # type: ignore[attr-defined]  # only engines with tables have it
    return engine


def new_id() -> str:
    """32 hex digits, ascending, unique among the processes of a test. Three ids share a moment
    each, because Redis keeps bodies of the same moment together."""
    serial = next(_serial)
    return f"{serial // 3:010x}{serial:06x}{os.getpid():016x}"


def push(
    engine: Engine, *names: str, queue: str = "q", delay: int = 0, at: int = 0, expires: int = 0
) -> list[str]:
    """Push a job for each name, its body the name, in one call. Returns the ids."""
    pushes = [Push(new_id(), queue, name.encode(), delay, at, expires) for name in names]
    engine.push(pushes)
    return [one.id for one in pushes]


def push_jobs(
    engine: Engine,
    ids: int | Sequence[str],
    job: str = "jobs:Mail",
    queue: str = "q",
    delay: int = 0,
) -> list[str]:
    """Push jobs whose messages can be read, with these ids, or so many. Returns the ids."""
    made = [new_id() for _ in range(ids)] if isinstance(ids, int) else list(ids)
    messages = [Message(1, id, job, queue, {"to": f"user{n}"}) for n, id in enumerate(made)]
    engine.push([Push(one.id, queue, encode(one), delay) for one in messages])
    return made


def tied(
    name: str,
    key: str = "k",
    until: Until = "end",
    lasts: int = 0,
    *,
    replaces: bool = False,
    queue: str = "q",
    delay: int = 0,
    at: int = 0,
    expires: int = 0,
) -> Push:
    """A job with a unique key, or with none if `key` is empty."""
    right = UniqueKey(key, until, lasts, replaces) if key else None
    return Push(new_id(), queue, name.encode(), delay, at, expires, unique=right)


def registration(worker: str = "w1", node: str = "n1") -> Registration:
    return Registration(worker, node, "host", "default", "boot", "4026531836", 4711, 123456)


class Worker:
    """A registered worker that numbers its steps, as the main thread of a real one does."""

    def __init__(
        self,
        engine: Engine,
        name: str = "w1",
        node: str = "n1",
        queues: Sequence[str] | None = ("q",),
    ) -> None:
        self.engine = engine
        self.name = name
        self.queues = queues
        self.request = 0
        engine.register(registration(name, node))

    def step(self, *settlements: Settlement, want: int = 0, queues: Any = EVER) -> Step:
        self.request += 1
        return self.again(*settlements, want=want, queues=queues)

    def again(self, *settlements: Settlement, want: int = 0, queues: Any = EVER) -> Step:
        """Repeat the last request."""
        chosen = self.queues if queues is EVER else queues
        return self.engine.step(self.name, self.request, settlements, want, chosen)

    def claim(self, want: int = 1, queues: Any = EVER) -> list[Claim]:
        return self.step(want=want, queues=queues).claims

    def take(self, name: str, expires: int = 0) -> Claim:
        """Push a job to queue q, and claim it."""
        (claim,) = self.take_all(name, expires=expires)
        return claim

    def take_all(self, *names: str, expires: int = 0) -> list[Claim]:
        """Push jobs to queue q, and claim them."""
        pushed = push(self.engine, *names, expires=expires)
        claims = self.claim(len(names))
        assert [claim.id for claim in claims] == pushed
        return claims

    def claim_soon(self) -> Claim:
        """Wait for the next claim, and return it."""
        return until(self.claim, 5, "a claim")[0]

    def end(self, claim: Claim, outcome: Outcome = ACK) -> None:
        """Settle one claim; it must be accepted."""
        assert self.step(Settlement(claim, outcome)).stale == []

    def drain(self) -> list[str]:
        """Claim and acknowledge all jobs. Returns their names in claim order."""
        names: list[str] = []
        while claims := self.claim(50):
            names += named(claims)
            assert self.step(*(Settlement(claim, ACK) for claim in claims)).stale == []
        return names


def kind(outcome: Outcome) -> str:
    """The name of a test's parameter."""
    return type(outcome).__name__.lower()


def named(claims: Sequence[Claim]) -> list[str]:
    """The names that the claimed jobs were pushed with."""
    return [claim.body.decode() for claim in claims]


def count_of(engine: Engine, queue: str = "q") -> QueueCounts:
    """One queue's counts, without `oldest`, which depends on the clock."""
    found = [counts for counts in engine.counts() if counts.queue == queue]
    return found[0]._replace(oldest=0) if found else QueueCounts(queue)


def sweep_all(engine: Engine, idle: int = 0) -> None:
    """Sweep, as keepers do, until nothing is left that may go."""
    for _ in range(999):
        if not engine.sweep(idle):
            return
    raise AssertionError("a sweep goes on without end")


def total(engine: Engine, counter: str, queue: str = "q") -> int:
    return engine.totals().get(queue, {}).get(counter, 0)


def stored(engine: Engine, id: str) -> StoredJob:
    found = engine.find(id)
    assert found is not None, f"{id} is gone"
    return found


def line(cause: str = "crash") -> bytes:
    """A history line."""
    return entry(Entry(1, cause, "bäng\n", worker="w1"))


def bury(worker: Worker, name: str = "a", state: State = State(1)) -> str:
    """Push a job and let it fail. Returns its id."""
    claim = worker.take(name)
    worker.end(claim, Bury(state))
    return claim.id


def gate(key: str = "k", limit: int = 1) -> Gate:
    """The rule of a Concurrent."""
    return Gate(key, limit)


def full(engine: Engine, key: str = "mail", window: int = HOUR, limit: int = 1) -> Rule:
    """A rule of so many starts per window, which are taken."""
    rule = Rule(key, limit, window)
    assert engine.admit([rule._replace(cost=limit)]).wait == 0
    return rule


def used(engine: Engine) -> dict[str, int]:
    """How much of each limit is used, by key."""
    return {use.rule.key: use.window.used for use in engine.limits() if use.window.used}


def park(worker: Worker, *names: str, rules: Sequence[Asked], refused: int = 0) -> list[str]:
    """Push jobs, then claim and park them one by one. Returns their ids."""
    ids = push(worker.engine, *names)
    for claim in worker.claim(len(names)):
        worker.end(claim, Park(tuple(rules), refused))
    return ids


def died(request: int = 1, finished: int = 0, started: int = -1, settled: int = 0) -> DeathReport:
    return DeathReport(request, finished, started, line(), settled=settled)


def wait_for(engine: Engine, moment: int) -> None:
    """Wait until the server's clock is past `moment`."""
    until(lambda: engine.now() > moment, what="the server's clock")
