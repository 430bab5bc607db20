"""Dispatching from coroutines, without blocking their event loop; see docs/web.md.

A coroutine makes its jobs itself, so that errors are raised at the call and callbacks see its
context. One thread of the process stores what has been made meanwhile, in one push, and wakes each
event loop once for all of its coroutines. If the engine refuses a push, the calls of which it has
stored nothing are stored one by one, so only those raise whose jobs the engine refuses. If the
engine is away, all calls raise that have waited for as long as a push is tried.
"""

import atexit
import logging
import os
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from poolq.errors import EngineError, EngineUnavailable, PoolqError
from poolq.jobs.block import open_block
from poolq.jobs.callbacks import Storing, around_dispatch
from poolq.jobs.ids import JobId
from poolq.jobs.message import Push
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.producer import settings, store_alone

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("poolq")
#: What is stored in one push: calls, since it holds up the event loop meanwhile; and as many jobs
#: and bytes as each engine stores together or not at all. Of a single call, there may be more.
MAX_CALLS, MAX_JOBS, MAX_BYTES = 100, 1_000, 1 << 20
WOKEN_AT_ONCE = 50  # calls that go on in one round of an event loop


class _Call(NamedTuple):
    """One call of `adispatch` or `adispatch_many`. `began`: when, by the monotonic clock."""

    pushes: list[Push]
    loop: "asyncio.AbstractEventLoop"
    future: "asyncio.Future[list[JobId]]"
    began: float


_Answer = tuple[_Call, list[JobId] | BaseException]


class _Dispatcher:
    """The calls that wait, and the thread that stores them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        #: In the order of the calls. A call that is cancelled is found by its future.
        self._waiting: OrderedDict[asyncio.Future[list[JobId]], _Call] = OrderedDict()
        self._is_storing = False
        self._thread: threading.Thread | None = None

    async def store(self, pushes: list[Push]) -> list[JobId]:
        import asyncio  # here, since most producers never need it

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("no event loop of asyncio runs here: call dispatch()") from None
        ids = [push.id for push in pushes]
        call = _Call(pushes, loop, loop.create_future(), time.monotonic())
        self._add(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            with self._changed:
                if self._waiting.pop(call.future, None):
                    raise
            log.warning("a cancelled adispatch may have stored %.200s", ", ".join(ids))
            raise

    def _add(self, call: _Call) -> None:
        """Let a call wait for the thread."""
        with self._changed:
            self._waiting[call.future] = call
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="poolq", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_storing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                calls = self._take()
                self._is_storing = True
            began = time.monotonic()
            answers = _stored(calls)
            errors = (error for _, error in answers if isinstance(error, EngineUnavailable))
            if error := next(errors, None):
                answers += [(call, _not_tried(call, error)) for call in self._take_overdue(began)]
            _answer(answers)

    def _take(self) -> list[_Call]:
        """Take the calls of the next push."""
        calls: list[_Call] = []
        jobs = size = 0
        while self._waiting and len(calls) < MAX_CALLS:
            future, call = next(iter(self._waiting.items()))
            jobs += len(call.pushes)
            size += sum(len(push.body) for push in call.pushes)
            if calls and (jobs > MAX_JOBS or size >= MAX_BYTES):
                break
            del self._waiting[future]
            calls.append(call)
        return calls

    def _take_overdue(self, began: float) -> list[_Call]:
        """Take the calls that were made before a push began that could not be stored, and have
        waited for as long as a dispatch tries."""
        latest = min(began, time.monotonic() - settings().dispatch_timeout)
        calls: list[_Call] = []
        with self._changed:
            while self._waiting and next(iter(self._waiting.values())).began <= latest:
                calls.append(self._waiting.popitem(last=False)[1])
        return calls

    def drain(self) -> None:
        """Wait until all is stored, for as long as a dispatch tries."""
        with self._changed:
            if self._thread is None or self._thread is threading.current_thread():
                return
            self._changed.wait_for(
                lambda: not (self._waiting or self._is_storing), settings().dispatch_timeout
            )
            if self._waiting:
                log.error("%d calls of adispatch are lost: the engine is away", len(self._waiting))


def _stored(calls: Sequence[_Call]) -> list[_Answer]:
    """Store the jobs of these calls. Returns for each its ids, or what it must raise."""
    try:
        ids = iter(store_alone([push for call in calls for push in call.pushes]))
    except EngineUnavailable as error:
        return [(call, _own_part(call, error)) for call in calls]
    except Exception as error:  # noqa: BLE001  # the callers raise it
        if len(calls) == 1 or not isinstance(error, PoolqError):
            return [(call, error) for call in calls]
        return [answer for call in calls for answer in _stored_alone(call, error)]
    return [(call, [next(ids) for _ in call.pushes]) for call in calls]


def _stored_alone(call: _Call, error: PoolqError) -> list[_Answer]:
    """Store the jobs of one call after a push of many calls was refused. If the engine has stored
    some of this call's jobs, none is stored again."""
    if isinstance(error, EngineError) and error.ids:
        missing = {*error.ids}
        if not all(push.id in missing for push in call.pushes):
            return [(call, _own_part(call, error))]
    return _stored([call])


def _own_part(call: _Call, error: EngineError) -> list[JobId] | EngineError:
    """Return what an error of the whole push means for one call: its ids if they are stored, or
    else the error with those that may not be."""
    failed = set(error.ids)
    own = [push.id for push in call.pushes if push.id in failed]
    if failed and not own:
        return [JobId(push.id) for push in call.pushes]
    if isinstance(error, EngineUnavailable):
        return type(error)(str(error), ids=own, maybe_stored=error.maybe_stored)
    return type(error)(str(error), ids=own)


def _not_tried(call: _Call, error: EngineUnavailable) -> EngineUnavailable:
    """Return the error of a call whose jobs were in no push, since another push failed."""
    return type(error)(str(error), ids=[push.id for push in call.pushes])


def _answer(answers: Sequence[_Answer]) -> None:
    """Wake each event loop once, for all of its calls."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Answer]] = defaultdict(list)
    for answer in answers:
        by_loop[answer[0].loop].append(answer)
    for loop, own in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, own)
        except RuntimeError:  # the loop is closed, and nobody waits any more
            log.info("%d calls of adispatch were answered after their loop was closed", len(own))


def _resolve(answers: Sequence[_Answer]) -> None:
    """Wake up the calls of one event loop, some in each of its rounds: they run in the next one."""
    if rest := answers[WOKEN_AT_ONCE:]:
        answers[0][0].loop.call_soon(_resolve, rest)
    for call, answer in answers[:WOKEN_AT_ONCE]:
        if call.future.done():  # it was cancelled
            continue
        if isinstance(answer, BaseException):
            call.future.set_exception(answer)
        else:
            call.future.set_result(answer)


#: The dispatcher of this process, and in its children those of the processes before it.
_dispatchers = [_Dispatcher()]
os.register_at_fork(after_in_child=lambda: _dispatchers.insert(0, _Dispatcher()))
atexit.register(lambda: _dispatchers[0].drain())


async def astore(pushes: list[Push]) -> list[JobId]:
    """Store these jobs as `producer.store` does, without blocking the event loop. Raises what that
    raises, RuntimeError if no event loop runs, and TransactionError in a block."""
    if (block := open_block.get()) is not None:
        block.refuse_async()
    if not pushes:
        return []
    if not around_dispatch.functions:
        return await _dispatchers[0].store(pushes)
    with Storing(pushes) as storing:
        storing.ids = await _dispatchers[0].store(storing.pushes)
    return storing.ids


async def asend(template: MessageTemplate, payload: object) -> JobId:
    """Store one job, as `producer.send` does."""
    return (await astore([template.push(payload, settings().max_payload)]))[0]
