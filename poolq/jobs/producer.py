"""The producer: stores jobs, given as a message template and a payload, in the chosen engine.

The engine is chosen by the settings at the first dispatch, or by `connect()`. Threads and forked
children share the choice; the engine manages its connections. While an engine cannot be reached,
the producer tries again for `dispatch_timeout`, but only for jobs that are certainly not stored,
so that no job is dispatched twice.

This module knows no job classes; `job.py` and `dispatch.py` build on it.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from poolq import config
from poolq.common.backoff import ExponentialPause
from poolq.common.escaping import clean
from poolq.config.engine_urls import sqlite_file
from poolq.config.project import PROJECT_FILES
from poolq.errors import EngineRefused, EngineUnavailable
from poolq.jobs.block import open_block
from poolq.jobs.callbacks import Storing, around_dispatch
from poolq.jobs.ids import HolderId, JobId
from poolq.jobs.message import Push
from poolq.jobs.message_template import MessageTemplate

if TYPE_CHECKING:
    from poolq.engines.base import Engine

_id_of = attrgetter("id")


class _Producer(NamedTuple):
    """`timeout`: for how many seconds a dispatch tries again while the engine is away."""

    engine: "Engine"
    max_payload: int
    timeout: float


class _Choice(TypedDict, total=False):
    load: Callable[[], config.Config]
    settings: config.Config
    producer: _Producer


#: The settings and the engine in use. If threads choose at the same time, the first choice is kept.
_chosen: _Choice = {}


def _load() -> config.Config:
    return _chosen.get("load", config.load_in_application)()


def settings() -> config.Config:
    """Return what this process dispatches by. Opens no engine. Raises ConfigError."""
    return _chosen.get("settings") or _chosen.setdefault("settings", _load())


def _producer() -> _Producer:
    return _chosen.get("producer") or _chosen.setdefault("producer", _open_producer(settings()))


def _open_producer(settings: config.Config) -> _Producer:
    if not settings.is_project:
        _name_new_file(settings)
    return _Producer(config.open_engine(settings), settings.max_payload, settings.dispatch_timeout)


def _name_new_file(settings: config.Config) -> None:
    """Warn (on stderr, unless the application logs elsewhere) if the jobs go into a new SQLite file
    in the current folder, although this is no project. Pools started elsewhere never find them."""
    file = sqlite_file(settings.engine)
    if file is None or file.exists() or file.parent != settings.folder or settings.has_app():
        return
    files = f"{', '.join(PROJECT_FILES[:-1])} or {PROJECT_FILES[-1]}"
    logging.getLogger("poolq").warning(
        "poolq: jobs go into the new file %s, as no folder here or above has %s; put one beside "
        "your jobs, or set POOLQ_ENGINE", clean(str(file)), files,
    )  # fmt: skip


def engine() -> "Engine":
    """Return the engine that this process dispatches to. Raises ConfigError."""
    return _producer().engine


def load_by(load: Callable[[], config.Config]) -> None:
    """Let the first dispatch choose its settings by this function, which may raise ConfigError."""
    _chosen["load"] = load


def dispatch_by(settings: config.Config) -> None:
    """Dispatch by these settings, unless `connect()` or a dispatch has already chosen an engine. A
    worker calls this, so that its jobs dispatch to the engine of the worker's pool."""
    _chosen.setdefault("settings", settings)


def connect(
    url: str, namespace: str | None = None, dispatch_timeout: float | None = None
) -> "Engine":
    """Dispatch to the engine of this URL from now on, in all threads; other settings are kept.
    Example: `connect("redis://localhost:6379/0")`. The engine connects when it is first used.
    Raises ConfigError."""
    given = {"engine": url, "namespace": namespace, "dispatch_timeout": dispatch_timeout}
    settings = config.load_in_application(given, place="connect()")
    producer = _open_producer(settings)
    _chosen.update({"settings": settings, "producer": producer})
    return producer.engine


@contextmanager
def dispatching_to(engine: "Engine", settings: config.Config) -> Iterator[None]:
    """Dispatch to this engine meanwhile, then as before, whatever `connect()` has chosen since."""
    before = _chosen.copy()
    producer = _Producer(engine, settings.max_payload, settings.dispatch_timeout)
    _chosen.update({"settings": settings, "producer": producer})
    try:
        yield
    finally:
        _chosen.pop("producer", None)
        _chosen.pop("settings", None)
        _chosen.update(before)


def send(template: MessageTemplate, payload: object) -> JobId:
    """Store one job. Returns its id. If the job gives way to another job, returns the other job's
    id. Raises PayloadError, OptionError, EngineUnavailable."""
    to = _chosen.get("producer") or _producer()
    push = template.push(payload, to.max_payload)
    if around_dispatch.functions or open_block.get() is not None:
        return store([push])[0]
    (holder,) = _push(to, [push])
    return JobId(holder) if holder == push.id else HolderId(holder)


def store(pushes: list[Push]) -> list[JobId]:
    """Store these jobs, or give them to the block that this is in. Returns and raises what
    `store_alone` does. Raises TransactionError."""
    if (block := open_block.get()) is None:
        return store_now(pushes)
    return block.store(pushes) if block.is_later else _surrounded(pushes, block.store)


def store_now(pushes: list[Push]) -> list[JobId]:
    """As `store_alone`, within the generators of `around_dispatch`, in a block or not."""
    return _surrounded(pushes, store_alone)


def _surrounded(pushes: list[Push], act: Callable[[list[Push]], list[JobId]]) -> list[JobId]:
    """Store jobs by `act`, within the generators of `around_dispatch`."""
    if not (around_dispatch.functions and pushes):
        return act(pushes)
    with Storing(pushes) as storing:
        storing.ids = act(storing.pushes)
    return storing.ids


def store_alone(pushes: list[Push]) -> list[JobId]:
    """Store these jobs, thousands in one round trip. Returns the ids in order. For a job that gives
    way, this is the id of the job that has the unique key. Raises EngineUnavailable with the `ids`
    of the jobs that may not be stored. Empties the list before it creates the ids, since these new
    objects would make the garbage collector examine all jobs again."""
    to = _producer()
    holders = _push(to, pushes) if pushes else []
    ids = list(map(_id_of, pushes))
    pushes.clear()
    if holders == ids:  # nearly always true, and a fast comparison
        return list(map(JobId, ids))
    return [
        JobId(holder) if holder == id_ else HolderId(holder)
        for id_, holder in zip(ids, holders, strict=True)
    ]


def _push(to: _Producer, pushes: Sequence[Push]) -> list[str]:
    try:
        return to.engine.push(pushes)
    except EngineUnavailable as error:
        return _retry_push(to, pushes, error)


def _retry_push(to: _Producer, pushes: Sequence[Push], error: EngineUnavailable) -> list[str]:
    """Retry the jobs that are certainly not stored. Raises EngineUnavailable."""
    pauses, left = _pauses(to.timeout), pushes
    while not error.maybe_stored and not isinstance(error, EngineRefused):
        missing = set(error.ids) or set(map(_id_of, left))
        # If a unique job is not missing, it may have given way to a job that is not known here.
        if any(one.unique and one.id not in missing for one in left) or not next(pauses, False):
            break
        left = [one for one in left if one.id in missing]
        try:
            holders = dict(zip(map(_id_of, left), to.engine.push(left), strict=True))
            return [holders.get(one.id, one.id) for one in pushes]
        except EngineUnavailable as again:
            error = again
    ids = error.ids or list(map(_id_of, left))
    raise type(error)(str(error), ids=ids, maybe_stored=error.maybe_stored) from error


def _pauses(timeout: float) -> Iterator[bool]:
    """Yield True after a pause before each further attempt, for `timeout` seconds. None begins that
    would end later if it took as long as the one before: it may take seconds, without an answer."""
    give_up, backoff, took = time.monotonic() + timeout, ExponentialPause(), 0.0
    for failures in count(1):
        pause = backoff.pause(failures, random.random())
        if time.monotonic() + pause + took > give_up:
            return
        time.sleep(pause)
        began = time.monotonic()
        yield True
        took = time.monotonic() - began
