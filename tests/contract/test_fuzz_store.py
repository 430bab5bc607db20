"""Whatever is in the store, every operation replies or raises an EngineError, and good jobs run.

A scene has two nodes and a job in every state. Then something is written somewhere: any value
into any column, field, list or set. The scenes of a run are fixed; `--fuzz-seconds=60` makes
random ones, for that long on each engine.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from poolq.engines.base import Claim, Engine, Settlement
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.schedule_store import NewSchedule
from poolq.engines.search import STATUSES
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Query
from poolq.errors import EngineError, Fenced
from poolq.jobs import schedule_plan
from poolq.jobs.limits import Gate, Rule
from poolq.jobs.message import Message, Push, State, encode
from poolq.jobs.outcomes import Bury, Failing, GiveBack, Outcome, Park, Release, ReleaseUntil
from poolq.jobs.unique import UniqueKey
from poolq.keeper.ticker import Ticker
from poolq.monitor import schedule_status
from tests.contract.conftest import OpenEngine
from tests.contract.damage import damage
from tests.contract.helpers import HOUR, SECOND, Worker, every_engine, new_id, push
from tests.support.by_hand import TYPED

MINUTE = 60 * SECOND
GATE = Gate("gate", 1)
pytestmark = every_engine

SCENES, ON_A_SERVER = 60, 20  # on MySQL, where a scene takes a quarter of a second


def scene(engine: Engine) -> None:
    """A job in every state; worker w1 of node n1 and w2 of n2 hold some."""
    mail = Rule("mail", 1, HOUR)
    one, two = Worker(engine, "w1", "n1"), Worker(engine, "w2", "n2")
    engine.beat("n1", b"{}")
    engine.beat("n2", b"{}")
    push(engine, *"abcdefgh")
    engine.admit([mail])
    ends: list[Outcome] = [
        Park((mail,), 0), ReleaseUntil(engine.now() + HOUR, State(1), mail), Bury(State(1)),
        Release(HOUR, State(1)), GiveBack(), Failing(State(1, 0, 1)),
    ]  # fmt: skip
    one.step(*map(Settlement, one.claim(6), ends))
    two.claim(1)
    push(engine, "later", delay=HOUR)
    engine.pause("shut")
    rights(engine, two)
    schedules(engine)


def rights(engine: Engine, worker: Worker) -> None:
    """Unique keys, slots, holds, limits that people have set, and a job to be cancelled."""
    for until, lasts in (("end", 0), ("start", 0), ("time", HOUR)):
        right = UniqueKey(f"key {until}", until, lasts)  # type: ignore[arg-type]  # they are Until
        engine.push([Push(new_id(), "q", b"tied", expires=HOUR, unique=right)])
    for claim in worker.claim(2):
        engine.admit([GATE], (worker.name, claim))
        engine.request_cancel([claim.id], HOUR)
    engine.push([Push(new_id(), "q", b"waits", gate=GATE)])
    engine.admit([Rule("slide", 3, HOUR, 2, sliding=True)])
    engine.set_limit("mail", HOUR, 5)
    engine.hold("held", HOUR)


def spec(name: str) -> NewSchedule:
    """A schedule that has been due for a minute, whose jobs go to the queue with its name."""
    message = encode(Message(1, "0", "jobs:A", name))
    stored = schedule_plan.encode(schedule_plan.make("1h", message, {}, "test"))
    return NewSchedule(name, schedule_plan.hash_of(stored), stored, time.time_ns() // 1000 - MINUTE)


def schedules(engine: Engine) -> None:
    """Two of two nodes' code, which differ in one, and one of a person that hides a third."""
    store = engine.schedules
    store.declare("n1", 1, [spec("coded"), spec("shared")])
    store.declare("n2", 1, [spec("coded"), spec("shared")._replace(hash="f00")])
    store.put(spec("own"))
    store.declare("n3", 1, [spec("own")._replace(hash="f00")])


def tick(engine: Engine) -> Ticker:
    ticker = Ticker(engine, report=str, beat_if_due=lambda: None, generation=lambda: 0)
    ticker.run()
    return ticker


def acts(engine: Engine, claims: list[Claim]) -> Iterator[Callable[[], object]]:
    """All operations of workers, keepers and administration."""
    rule = Rule("mail", 1, HOUR)
    yield lambda: engine.beat("n3", b"{}")
    yield engine.registered
    yield engine.nodes
    yield engine.counts
    yield engine.totals
    yield engine.limits
    yield engine.failed
    yield lambda: engine.admit([rule, Rule("other", 2, HOUR)])
    yield lambda: engine.wait(None, 0)
    yield lambda: engine.wake(None)
    yield lambda: engine.sweep(0)
    for worker in ("w1", "w2", "x"):
        yield lambda worker=worker: claims.extend(engine.step(worker, 50, [], 20, None).claims)
    for claim in list(claims):
        yield lambda claim=claim: engine.find(claim.id)
        end = Settlement(claim, Bury(claim.state))
        yield lambda end=end: engine.step("w1", 51, [end], 0, None)
    yield lambda: engine.recover("w1", None)
    yield lambda: engine.reap("n2", engine.beat("n2", b"{}")["n2"])
    ids: list[str] = []
    for status in STATUSES:
        yield lambda status=status: ids.extend(job.id for job in engine.page(status).jobs)
    yield lambda: engine.ids("0")
    yield lambda: engine.move(ids, "other")
    yield lambda: engine.retry([one.id for one in engine.failed()])
    yield lambda: engine.cancel(ids[::2])
    yield from schedule_acts(engine)
    yield from right_acts(engine, ids)
    yield engine.doctor
    yield lambda: engine.purge("q")
    yield lambda: engine.remove_node("n1")


def schedule_acts(engine: Engine) -> Iterator[Callable[[], object]]:
    store = engine.schedules
    yield lambda: tick(engine)
    yield lambda: [schedule_status.of_schedule(one, engine.now()) for one in store.all()]
    yield lambda: store.soonest(9)
    yield lambda: store.declared("n1")
    for name in ("coded", "own", "shared", "x"):
        yield lambda name=name: store.get(name)
        yield lambda name=name: store.pause(name)
        yield lambda name=name: store.resume(name, engine.now())
    yield lambda: store.declare("n2", 1, [spec("coded"), spec("shared")])
    yield lambda: store.put(spec("own")._replace(hash="0ff"))
    yield lambda: store.remove("own")
    yield lambda: store.declare("n1", 1, [])


def right_acts(engine: Engine, ids: list[str]) -> Iterator[Callable[[], object]]:
    for until in ("end", "start", "time"):
        for replaces in (False, True):
            right = UniqueKey(f"key {until}", until, HOUR, replaces)  # type: ignore[arg-type]
            one = Push(new_id(), "q", b"tied", unique=right)
            yield lambda one=one: engine.push([one])
    yield lambda: engine.request_cancel(ids, 1)
    for node in ("n1", "n2"):
        yield lambda node=node: engine.cancel_requests(node)
    yield lambda: engine.hold("held", 1)
    yield lambda: engine.admit([Rule("held", 1, HOUR), Rule("slide", 3, HOUR, 2, sliding=True)])
    yield lambda: engine.lift("held")
    yield lambda: engine.reset_limit("mail", HOUR, starts=True)
    yield lambda: engine.accept("w2")


def good_jobs_end(engine: Engine) -> None:
    """Good jobs still run, in order, on workers of their own."""
    names = [f"good-{number}" for number in range(5)]
    push(engine, *names, queue="good")
    worker = Worker(engine, "w9", "n9", queues=["good"])
    assert worker.drain() == names
    engine.push([])
    everywhere = Worker(engine, "w8", "n9", queues=None)
    push(engine, *names, queue="good")
    found: list[str] = []
    for _ in range(50):
        claims = everywhere.claim(20)
        found += [claim.body.decode("utf-8", "replace") for claim in claims]
        everywhere.step(*(Settlement(claim, Bury(State())) for claim in claims))
        if not claims:
            break
    assert [name for name in found if name in names] == names
    assert engine.beat("n9", b"{}")["n9"] >= 1
    for worker_ in ("w8", "w9"):
        engine.recover(worker_, None)


def good_rights_count(engine: Engine) -> None:
    """Unique keys, holds, limits and slots do what they promise, and end."""
    worker = Worker(engine, "w9", "n9", queues=["fine"])
    first, second = (
        Push(new_id(), "fine", b"tied", unique=UniqueKey("good", "end")) for _ in range(2)
    )
    assert engine.push([first]) == engine.push([second]) == [first.id]
    (claim,) = worker.claim(9)
    gate = Gate("good gate", 1)
    assert engine.admit([gate], ("w9", claim)).wait == 0
    worker.end(claim)
    assert engine.push([second]) == [second.id]
    assert engine.admit([gate], ("w9", worker.claim(9)[0])).wait == 0
    rule = Rule("good limit", 1, HOUR)
    assert engine.hold("good limit", HOUR) > 0
    assert engine.admit([rule]).held
    assert engine.lift("good limit")
    assert [engine.admit([rule]).wait > 0 for _ in range(2)] == [False, True]
    engine.recover("w9", None)


def good_schedules_tick(engine: Engine) -> None:
    """In the first rounds of a keeper, which rests afterwards."""
    engine.beat("n9", b"{}")
    store = engine.schedules
    store.put(spec("ticks"))
    ticker = tick(engine)
    tries = 1
    while time.monotonic() > ticker.next_look - 0.01:
        ticker.run()
        tries += 1
        assert tries < 9, "it does not rest"
    worker = Worker(engine, "w9", "n9", queues=["ticks"])
    assert len(worker.claim(9)) == 1
    assert "ticks" in [one.name for one in store.all()]
    engine.recover("w9", None)


def answer(act: Callable[[], object]) -> None:
    """An engine may only report a worker that is fenced or whose number of the last request is not
    its own, and on Redis a key of another type."""
    try:
        act()
    except Fenced:
        pass
    except EngineError as error:
        known = " sent request ", " comes after ", "WRONGTYPE"
        if not any(one in str(error) for one in known):
            raise


def clean(engine: Engine) -> None:
    if isinstance(engine, RedisEngine):
        keys = engine.client.call(b"KEYS", engine.client.prefix.encode() + b"*")
        if keys:
            engine.client.call(b"DEL", *keys)
        return
    assert isinstance(engine, SQLEngine)
    for table in {*engine.texts.tables} - {"schema"}:
        engine.session.transact(lambda tx, t=table: tx.later(Query(f"DELETE FROM {{{t}}}")))


def test_whatever_is_in_the_store(
    engine: Engine, opened: OpenEngine, request: pytest.FixtureRequest
) -> None:
    seconds = request.config.getoption("fuzz_seconds")
    end = time.monotonic() + seconds
    base = random.randrange(1 << 30) if seconds else 0
    scenes = ON_A_SERVER if isinstance(engine, TYPED) else SCENES
    for number in count() if seconds else range(scenes):
        if seconds and time.monotonic() > end:
            break
        engine.close()
        # The old one remembers queues and settlements.
        engine = opened(engine.url, engine.namespace)
        play(engine, base + number)


def play(engine: Engine, seed: int) -> None:
    """A scene with one to three damages, then everything that poolq does."""
    rand = random.Random(seed)
    clean(engine)
    scene(engine)
    done = [damage(engine, rand) for _ in range(rand.randint(1, 3))]
    try:
        claims: list[Claim] = []
        for act in acts(engine, claims):
            answer(act)
        good_jobs_end(engine)
        good_rights_count(engine)
        good_schedules_tick(engine)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {done}") from error
