"""Dispatching from coroutines: one thread stores what they have made meanwhile, in one push."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from poolq.errors import EngineError, EngineUnavailable
from poolq.jobs import async_dispatch
from poolq.jobs.async_dispatch import astore
from poolq.jobs.ids import JobId
from poolq.jobs.message import Push
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS

TEMPLATE = MessageTemplate("jobs:A", DEFAULTS)
Store = Callable[[list[Push]], list[JobId]]


def make(count: int = 1) -> list[Push]:
    return [TEMPLATE.push({}, 1000) for _ in range(count)]


class Stored:
    """What `producer.store` got, in place of it. While `closed`, it waits."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.entered = threading.Event()
        self.fails: Callable[[list[str]], Exception | None] = lambda _: None

    def __call__(self, pushes: list[Push]) -> list[JobId]:
        ids = [push.id for push in pushes]
        self.entered.set()
        assert self.open.wait(30)
        if error := self.fails(ids):
            raise error
        self.batches.append(ids)
        return list(map(JobId, ids))


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    made = Stored()
    monkeypatch.setattr(async_dispatch, "store_alone", made)
    monkeypatch.setattr(async_dispatch, "settings", lambda: SimpleNamespace(dispatch_timeout=10.0))
    monkeypatch.setattr(async_dispatch, "_dispatchers", [async_dispatch._Dispatcher()])
    yield made
    made.open.set()


async def entered(stored: Stored) -> None:
    await asyncio.to_thread(stored.entered.wait, 30)


def test_what_comes_meanwhile_is_stored_in_one_push(stored: Stored) -> None:
    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(make(2))) for _ in range(100)]
        await asyncio.sleep(0)
        stored.open.set()
        ids = [await one for one in (first, *others)]
        assert [len(batch) for batch in stored.batches] == [1, 200]
        assert stored.batches[1] == [id for own in ids[1:] for id in own]

    asyncio.run(main())


def test_a_call_that_is_cancelled_before_it_is_taken_stores_nothing(
    stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        taken, waiting, last = make(), make(), make()
        first = asyncio.create_task(astore(list(taken)))
        await entered(stored)
        second = asyncio.create_task(astore(list(waiting)))
        third = asyncio.create_task(astore(list(last)))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        for one in (first, second):
            with pytest.raises(asyncio.CancelledError):
                await one
        stored.open.set()
        assert await third == [last[0].id]
        assert stored.batches == [[taken[0].id], [last[0].id]]
        (line,) = caplog.messages
        assert line == f"a cancelled adispatch may have stored {taken[0].id}"

    with caplog.at_level(logging.WARNING, "poolq"):
        asyncio.run(main())


def test_no_push_is_more_than_an_engine_stores_at_once_unless_one_call_is(stored: Stored) -> None:
    large = TEMPLATE.push({"text": "x" * (async_dispatch.MAX_BYTES // 2)}, 1 << 20)

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        calls = [make(600), make(400), make(), make(1_500), make(), [large], [large], make()]
        others = [asyncio.create_task(astore(one)) for one in calls]
        await asyncio.sleep(0)
        stored.open.set()
        await asyncio.gather(first, *others)

    asyncio.run(main())
    assert [len(batch) for batch in stored.batches] == [1, 1_000, 1, 1_500, 2, 2]


def test_only_the_call_whose_job_is_refused_raises(stored: Stored) -> None:
    bad = make()

    def fails(ids: list[str]) -> Exception | None:
        return EngineError("too large") if bad[0].id in ids else None

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(list(one))) for one in (make(), bad, make())]
        await asyncio.sleep(0)
        stored.fails = fails
        stored.open.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        assert [isinstance(one, EngineError) for one in answers] == [False, False, True, False]
        assert len(stored.batches) == 3

    asyncio.run(main())


def test_an_engine_that_is_away_tells_each_call_its_own_ids(stored: Stored) -> None:
    one, two, three = make(2), make(1), make(1)

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(list(own))) for own in (one, two, three)]
        await asyncio.sleep(0)
        lost = [one[1].id, three[0].id]
        stored.open.set()
        stored.fails = lambda ids: (
            EngineUnavailable("away", ids=lost, maybe_stored=True) if len(ids) > 1 else None
        )
        await first
        answers = await asyncio.gather(*others, return_exceptions=True)
        assert isinstance(answers[0], EngineUnavailable)
        assert (answers[0].ids, answers[0].maybe_stored) == ((one[1].id,), True)
        assert answers[1] == [two[0].id]
        assert isinstance(answers[2], EngineUnavailable)

    asyncio.run(main())


def test_beyond_the_most_calls_wait_for_room(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_dispatch, "MAX_WAITING", 3)

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(make())) for _ in range(10)]
        await asyncio.sleep(0)
        stored.open.set()
        await asyncio.gather(first, *others)
        assert sum(map(len, stored.batches)) == 11
        assert max(map(len, stored.batches)) <= 3

    asyncio.run(main())


def test_a_child_has_a_thread_of_its_own(stored: Stored) -> None:
    stored.open.set()
    asyncio.run(astore(make()))
    pid = os.fork()
    if pid == 0:
        os._exit(0 if len(asyncio.run(astore(make()))) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_without_an_event_loop_it_says_so(stored: Stored) -> None:
    with pytest.raises(RuntimeError, match="no event loop of asyncio runs here: call dispatch"):
        astore(make()).send(None)
    assert not stored.entered.is_set()


def test_what_waits_is_stored_before_the_interpreter_ends(stored: Stored) -> None:
    kept = make()

    async def main() -> None:
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        second = asyncio.create_task(astore(list(kept)))
        await asyncio.sleep(0)
        threading.Timer(0, stored.open.set).start()
        await asyncio.to_thread(async_dispatch._dispatchers[0].drain)
        assert stored.batches[1] == [kept[0].id]
        await asyncio.gather(first, second)

    asyncio.run(main())


def test_each_loop_is_woken_once(stored: Stored) -> None:
    wakes: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        real = loop.call_soon_threadsafe
        first = asyncio.create_task(astore(make()))
        await entered(stored)
        others = [asyncio.create_task(astore(make())) for _ in range(50)]
        await asyncio.sleep(0)

        def counted(callback: Any, *args: Any) -> Any:
            wakes.append(callback)
            return real(callback, *args)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        stored.open.set()
        await asyncio.gather(first, *others)

    asyncio.run(main())
    assert wakes.count(async_dispatch._resolve) == 2
