"""The producer: stores jobs, given as a message template and a payload, in the chosen engine.

The engine is chosen by the settings at the first dispatch, or by `connect()`. Threads and forked
children share the choice; the engine manages its connections. While an engine cannot be reached,
the producer tries again for RETRY_SECONDS, but only for jobs that are certainly not stored, so that
no job is dispatched twice.

This module knows no job classes; `job.py` and `dispatch.py` build on it.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from poolq import config
from poolq.common.backoff import ExponentialPause
from poolq.common.escaping import clean
from poolq.config.engine_urls import sqlite_file
from poolq.config.project import PROJECT_FILES
from poolq.errors import EngineUnavailable
from poolq.jobs.ids import HolderId, JobId
from poolq.jobs.message import Push
from poolq.jobs.message_template import MessageTemplate

if TYPE_CHECKING:
    from poolq.engines.base import Engine

_id_of = attrgetter("id")
RETRY_SECONDS = 10.0


class _Producer(NamedTuple):
    engine: "Engine"
    max_payload: int


class _EngineChoice:
    """The engine that this process dispatches to, chosen once by the settings or by `connect()`."""

    def __init__(self) -> None:
        self.settings: config.Config | None = None
        self.producer: _Producer | None = None
        self.lock = threading.Lock()

    def reset_lock(self) -> None:
        """Replace the lock in a forked child, since a thread of the parent may have held it."""
        self.lock = threading.Lock()

    def configured(self) -> config.Config:
        with self.lock:
            if self.settings is None:
                self.settings = config.load_in_application()
            return self.settings

    def open(self) -> _Producer:
        opened = _open_producer(self.configured())
        with self.lock:
            self.producer = self.producer or opened  # an earlier choice wins
            return self.producer

    def use(self, settings: config.Config) -> _Producer:
        opened = _open_producer(settings)
        with self.lock:
            self.settings, self.producer = settings, opened
        return opened

    def default(self, settings: config.Config) -> None:
        """Use these settings unless others were chosen or loaded before."""
        with self.lock:
            self.settings = self.settings or settings


_chosen = _EngineChoice()
os.register_at_fork(after_in_child=_chosen.reset_lock)


def _open_producer(settings: config.Config) -> _Producer:
    if not settings.is_project:
        _name_new_file(settings)
    return _Producer(config.open_engine(settings), settings.max_payload)


def _name_new_file(settings: config.Config) -> None:
    """Warn (on stderr, unless the application logs elsewhere) if the jobs go into a new SQLite file
    in a folder that is only the current one: a pool that is started elsewhere never finds them."""
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
    return (_chosen.producer or _chosen.open()).engine


def dispatch_by(settings: config.Config) -> None:
    """Dispatch by these settings, unless `connect()` or a dispatch has already chosen an engine. A
    worker calls this, so that its jobs dispatch to the engine of the worker's pool."""
    _chosen.default(settings)


def connect(url: str, namespace: str | None = None) -> "Engine":
    """Dispatch to the engine of this URL from now on, in all threads; other settings are kept.
    Example: `connect("redis://localhost:6379/0")`. The engine connects when it is first used.
    Raises ConfigError."""
    given = {"engine": url, "namespace": namespace}
    return _chosen.use(config.load_in_application(given, place="connect()")).engine


def max_payload() -> int:
    """Return the largest payload allowed, in bytes of JSON. Opens no engine."""
    return _chosen.configured().max_payload


def send(template: MessageTemplate, payload: object) -> JobId:
    """Store one job. Returns its id or, if it gave way to another job, that of the other. Raises
    PayloadError, OptionError, EngineUnavailable."""
    to, limit = _chosen.producer or _chosen.open()
    push = template.push(payload, limit)
    (holder,) = _push(to, [push])
    return JobId(holder) if holder == push.id else HolderId(holder)


def store(pushes: list[Push]) -> list[JobId]:
    """Store these jobs, thousands in one round trip. Returns the ids in order; that of a job which
    gave way is that of the job that has its unique key. Raises EngineUnavailable with the `ids` of
    the jobs that may not be stored. Afterwards, the list is empty: the ids are new objects for the
    collector, which would look at the jobs again, too."""
    to, _ = _chosen.producer or _chosen.open()
    holders = _push(to, pushes) if pushes else []
    ids = list(map(_id_of, pushes))
    pushes.clear()
    if holders == ids:  # as nearly always, and compared in no time
        return list(map(JobId, ids))
    return [
        JobId(holder) if holder == id_ else HolderId(holder)
        for id_, holder in zip(ids, holders, strict=True)
    ]


def _push(to: "Engine", pushes: Sequence[Push]) -> list[str]:
    try:
        return to.push(pushes)
    except EngineUnavailable as error:
        return _retry_push(to, pushes, error)


def _retry_push(to: "Engine", pushes: Sequence[Push], error: EngineUnavailable) -> list[str]:
    """Retry the jobs that are certainly not stored, for RETRY_SECONDS. Raises EngineUnavailable."""
    pauses, left = _pauses(), pushes
    while not error.maybe_stored:
        missing = set(error.ids) or set(map(_id_of, left))
        # It is not known to which jobs the others gave way.
        if any(one.unique and one.id not in missing for one in left) or not next(pauses, False):
            break
        left = [one for one in left if one.id in missing]
        try:
            holders = dict(zip(map(_id_of, left), to.push(left), strict=True))
            return [holders.get(one.id, one.id) for one in pushes]
        except EngineUnavailable as again:
            error = again
    ids = error.ids or list(map(_id_of, left))
    raise EngineUnavailable(str(error), ids=ids, maybe_stored=error.maybe_stored) from error


def _pauses() -> Iterator[bool]:
    """Yield True after a pause before each further attempt, for RETRY_SECONDS."""
    give_up, backoff = time.monotonic() + RETRY_SECONDS, ExponentialPause()
    for failures in count(1):
        pause = backoff.pause(failures, random.random())
        if time.monotonic() + pause > give_up:
            return
        time.sleep(pause)
        yield True
