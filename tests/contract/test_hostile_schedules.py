"""Schedules that no poolq can have stored are set aside and named once; the others tick."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from time import monotonic

import msgspec
import pytest

from poolq.common.lengths import MAX_SPEC_BYTES
from poolq.engines.base import Engine
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.redis.engine import RedisEngine
from poolq.engines.schedule_store import NewSchedule
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.session import Query
from poolq.engines.sqlite import SQLiteEngine
from poolq.jobs import schedule_plan
from poolq.jobs.message import Message, encode
from poolq.keeper.ticker import Ticker
from poolq.log.events import Event
from poolq.monitor import schedule_status
from tests.contract.helpers import SECOND

LONG = b"1," * 600_000
MESSAGE = encode(Message(1, "0", "jobs:A", "q"))
COLUMNS = "name, hash, spec, due, at, declared, paused, last, job, ticks, skipped, deploy, hidden"


def a_spec(**changes: object) -> bytes:
    made = schedule_plan.encode(schedule_plan.make("1h", MESSAGE, {}, "test"))
    return msgspec.json.encode({**msgspec.json.decode(made), **changes})


SPEC = a_spec()


def write(
    engine: Engine, name: bytes, spec: bytes = SPEC, hash_: bytes = b"aa", due: int = 1
) -> None:
    """Store a person's schedule that is due, as somebody who knows the store may do it."""
    if isinstance(engine, RedisEngine):
        head = engine.client.prefix
        stored = b"%b 0 0 0 %d 0 0 0 \n%b" % (hash_, due, spec)
        engine.client.call(b"HSET", f"{head}schedules", name, stored)
        engine.client.call(b"ZADD", f"{head}ticks", b"1", name)
        return
    assert isinstance(engine, SQLEngine)
    text = "CAST(? AS TEXT)" if isinstance(engine, SQLiteEngine) else "?"
    values = f"({text}, {text}, ?, ?, 1, 0, 0, 0, '', 0, 0, 0, '')"
    sql = f"INSERT INTO {{schedules}} ({COLUMNS}) VALUES {values}"
    if isinstance(engine, SQLiteEngine):
        with closing(sqlite3.connect(engine.options.file, timeout=30)) as raw, raw:
            raw.execute(engine.texts[sql], (name, hash_, spec, due))
    else:
        words: tuple[object, object] = name, hash_
        if isinstance(engine, PostgreSQLEngine):  # it takes only UTF-8
            words = name.decode("utf-8", "replace"), hash_.decode()
            sql = sql.replace("'')", "''::bytea)")
        insert = Query(sql, (*words, spec, due))
        engine.session.transact(lambda tx: tx.later(insert))


class Keeper:
    def __init__(self, engine: Engine) -> None:
        engine.beat("n1", b"{}")
        self.said: list[str] = []
        self.looks = 0
        self._ticker = Ticker(engine, self._hear, lambda: None, lambda: 0)

    def _hear(self, event: Event) -> None:
        self.said.append(getattr(event, "text", ""))

    def look(self) -> float:
        """Returns how long the keeper rests then, in seconds."""
        self._ticker.run()
        self.looks += 1
        return self._ticker.next_look - monotonic()

    def rest(self) -> None:
        """Look until there is nothing left to do."""
        while self.look() < 0.5:
            assert self.looks < 9, "it spins"


def tick_good(engine: Engine) -> None:
    due = engine.now() - SECOND
    engine.schedules.put(NewSchedule("zzz good", schedule_plan.hash_of(SPEC), SPEC, due))
    keeper = Keeper(engine)
    keeper.rest()
    assert engine.schedules.get("zzz good").last == due  # type: ignore[union-attr]  # it is there
    again = Keeper(engine)
    again.rest()
    assert again.looks == 1
    assert not [one for one in again.said if "aside" in one], "each is named once"


def test_names_that_are_not_utf_8_stop_no_schedule(engine: Engine) -> None:
    engine.now()
    for number in range(101):
        write(engine, b"\xff%03d" % number)
    tick_good(engine)


@pytest.mark.parametrize(
    "spec",
    [b"", b"\xff", b"{}", b"x" * (MAX_SPEC_BYTES + 1), b'{"cron":"' + LONG + b'1 * * * *"}'],
    ids=["empty", "bytes", "json", "long", "long cron"],
)
def test_specs_that_cannot_be_read(engine: Engine, spec: bytes) -> None:
    engine.now()
    for number in range(3 if len(spec) > 100 else 101):
        write(engine, b"n%03d" % number, spec)
    tick_good(engine)


@pytest.mark.parametrize(
    "changes",
    [
        {"interval": 0, "cron": "0 0 31 2 *"},
        {"interval": 0, "cron": "1," * 400 + "1 * * * *"},
        {"interval": 0, "cron": "1," * 4000 + "1 * * * *"},
        {"interval": 0, "cron": "* * * * *", "tz": "x/" * 10_000},
        {"message": 5},
        {"message": {"v": 1, "id": "1", "job": "a", "queue": "q", "expires": 2**70}},
        {"message": {"v": 1, "id": "1", "job": "a", "queue": "q" * 300}},
        {"unique": {"key": "a\nb", "until": "end"}},
        {"unique": {"key": "k", "until": "time", "lasts": 2**62}},
        {"jitter": 2**60},
    ],
    ids=[
        "never",
        "cron",
        "long cron",
        "zone",
        "message",
        "expires",
        "queue",
        "key",
        "lasts",
        "jitter",
    ],
)
def test_a_spec_that_no_code_can_have_made(engine: Engine, changes: dict[str, object]) -> None:
    engine.now()
    write(engine, b"odd", a_spec(**changes))
    tick_good(engine)


@pytest.mark.parametrize("due", [2**53, 2**62, 2**53 - 1, -(2**62), 0])
def test_a_tick_at_an_odd_time(engine: Engine, due: int) -> None:
    engine.now()
    cron = a_spec(interval=0, cron="0 3 * * *")
    for number in range(101 if due else 3):  # to count ticks since 1970 takes a while
        write(engine, b"n%03d" % number, cron, due=due)
    tick_good(engine)


def test_a_list_of_schedules_ends(engine: Engine) -> None:
    engine.now()
    names = [b"\xff\xfe", b"caf\xe9", "schön".encode(), b"x" * 255, b"fine"]
    for name in names:
        write(engine, name)
    found = [schedule_status.of_schedule(one, engine.now()) for one in engine.schedules.all()]
    assert len(found) == len(names)
    assert {"schön", "fine"} <= {one.name for one in found}
    assert len(engine.schedules.soonest(9)) == len(names)


def test_an_unreadable_schedule_can_be_removed(engine: Engine) -> None:
    engine.now()
    write(engine, b"odd", b"\xff", hash_=b"zz")
    Keeper(engine).rest()
    assert engine.schedules.remove("odd") == "removed"
    assert engine.schedules.all() == []
