"""A clock that stands still until a test moves it, in place of an engine's own.

Each engine tells the time in its own way, and each is given this clock's there: Redis' scripts
read a key where they call TIME, a MySQL session has its `timestamp` set, a PostgreSQL session reads
a setting, and the clock of this process, which SQLite has, is held. The rest of the engine is as it
always is. Redis itself goes on by its own clock when it expires keys: windows that a test lets pass
must be long (a minute and more).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from poolq.engines.base import Engine
from poolq.engines.sql.session import Query, QueryResult, RenderedSQL
from poolq.jobs import clock as held

T = TypeVar("T")

#: Where it begins: 2030, so that a moment of the real clock is always in its past.
BEGIN = 1_893_456_000_000_000

_SET_CLOCK = "SELECT set_config('poolq.clock', ?, false)"
_TIME = b"call('TIME')"
_KEY = b"call('HMGET', P .. 'clock', 's', 'us')"


class Clock:
    """`now` is in microseconds since the epoch. `govern` puts an engine under it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = BEGIN
        self._patch = monkeypatch
        self._governed: list[Engine] = []
        self._patched: set[str] = set()

    def govern(self, engine: Engine) -> None:
        """Have an engine ask this clock; its connections of other threads are not."""
        kind = type(engine).__name__
        if kind not in self._patched:
            self._patched.add(kind)
            if kind == "RedisEngine":
                self._patch_scripts()
            elif kind == "SQLiteEngine":
                self._patch.setattr(held, "_held", [self.now])
        if kind == "MySQLEngine":
            _without_sysdate(engine)
        elif kind == "PostgreSQLEngine":
            _with_setting(engine)
        self._patch.setattr(engine, "now", lambda: self.now)
        self._governed.append(engine)
        self._tell(engine)

    def forward(self, micros: int) -> int:
        """Move on (or, where `micros` is below 0, back); returns the new time."""
        self.now += micros
        for engine in self._governed:
            self._tell(engine)
        return self.now

    def back(self, micros: int) -> int:
        return self.forward(-micros)

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Meanwhile, each statement of the governed SQL engines takes a microsecond. Scripts of
        Redis take no time, because each asks for the time once."""
        with pytest.MonkeyPatch.context() as patch:
            for engine in self._governed:
                match type(engine).__name__:
                    case "MySQLEngine":
                        self._tick_mysql(engine, patch)
                    case "PostgreSQLEngine":
                        self._tick_postgresql(engine, patch)
                    case "SQLiteEngine":
                        session = sys.modules["poolq.engines.sqlite.session"]
                        patch.setattr(session, "run", self._then_tick(session.run))
            yield

    def _tick_mysql(self, engine: Any, patch: pytest.MonkeyPatch) -> None:
        """Send the statements of a round trip one by one, as all would see the same time."""
        send = self._then_tick(engine.session.send)

        def send_each(statements: Sequence[bytes]) -> list[QueryResult]:
            return [result for one in statements for result in send([one])]

        patch.setattr(engine.session, "send", send_each)

    def _tick_postgresql(self, engine: Any, patch: pytest.MonkeyPatch) -> None:
        """Set the clock between the statements of a round trip."""
        send = engine.session.send

        def send_and_tick(queries: Sequence[Any]) -> list[QueryResult]:
            ticking: list[Any] = []
            for one in queries:
                self.now += 1
                ticking += (one, Query(_SET_CLOCK, (str(self.now),)))
            results: list[QueryResult] = send(ticking)
            return results[::2]

        patch.setattr(engine.session, "send", send_and_tick)

    def _then_tick(self, act: Callable[..., T]) -> Callable[..., T]:
        def act_and_tick(*args: Any) -> T:
            result = act(*args)
            self.forward(1)
            return result

        return act_and_tick

    def _tell(self, engine: Any) -> None:
        seconds, micros = divmod(self.now, 1_000_000)
        match type(engine).__name__:
            case "RedisEngine":
                engine.client.call(
                    b"HSET", engine.client.prefix + "clock", "s", seconds, "us", micros
                )
            case "SQLiteEngine":
                held.hold(self.now)
            case "PostgreSQLEngine":
                engine.session.send([Query(_SET_CLOCK, (str(self.now),))])
            case "MySQLEngine":
                with engine.session.raw.cursor() as cursor:
                    cursor.execute(f"SET timestamp = {seconds}.{micros:06}")

    def _patch_scripts(self) -> None:
        from poolq.engines.redis import scripts

        for script in scripts.SCRIPTS.values():
            assert script.text.count(_TIME) == 1, script.name
            self._patch.setattr(script, "text", script.text.replace(_TIME, _KEY))
            self._patch.setattr(script, "sha", scripts.sha1(script.text).hexdigest().encode())


class _Texts(RenderedSQL):
    """SYSDATE() knows nothing of a session's timestamp."""

    def __missing__(self, template: str) -> str:
        text = self[template] = super().__missing__(template).replace("SYSDATE(6)", "NOW(6)")
        return text


def _with_setting(engine: Any) -> None:
    """Sessions that have no such setting go by the server's clock."""
    texts = engine.texts
    for name in ("now", "clock"):
        told = "NULLIF(current_setting('poolq.clock', true), '')::bigint"
        texts.tokens[name] = f"COALESCE({told}, {texts.tokens[name]})"
    texts.clear()
    engine.session.statements._known.clear()


def _without_sysdate(engine: Any) -> None:
    texts = _Texts.__new__(_Texts)
    texts.tokens = engine.texts.tokens
    engine._statements.clear()
    engine._statements._texts = texts
