"""The producer's side: from a payload to a stored job.

The engine comes from the settings when it is first needed, or from `connect()`. Threads and
forked children share the choice; connections are the engine's business. An engine that cannot be
reached is asked again for `PATIENCE` seconds, but only while it is certain that nothing was
stored: a job is never dispatched twice.
"""

import os
import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from poolq import config
from poolq.backoff import Backoff
from poolq.errors import EngineUnavailable, OptionError, PayloadError
from poolq.forms import Form
from poolq.message import Push
from poolq.options import DEFAULTS, DispatchOptions, name

if TYPE_CHECKING:
    from poolq.engines.base import Engine
    from poolq.functions import FunctionJob, FunctionSettings
    from poolq.jobs import Job, JobSettings

PATIENCE = 10.0
LONGEST_JOB_NAME = 255


class _Producer(NamedTuple):
    engine: "Engine"
    max_payload: int


class _Chosen:
    """What this process dispatches to: chosen once, by the settings or by `connect()`."""

    def __init__(self) -> None:
        self.settings: config.Config | None = None
        self.producer: _Producer | None = None
        self.lock = threading.Lock()

    def fresh_lock(self) -> None:
        """A forked child inherits the lock as it was, perhaps held by a thread it does not have."""
        self.lock = threading.Lock()

    def configured(self) -> config.Config:
        with self.lock:
            if self.settings is None:
                self.settings = config.load()
            return self.settings

    def get(self) -> _Producer:
        return self.producer or self.open()

    def open(self) -> _Producer:
        opened = _opened(self.configured())
        with self.lock:
            self.producer = self.producer or opened  # whoever came first, or called connect()
            return self.producer

    def use(self, settings: config.Config) -> _Producer:
        opened = _opened(settings)
        with self.lock:
            self.settings, self.producer = settings, opened
        return opened

    def default(self, settings: config.Config) -> None:
        """Unless something was chosen or read already."""
        with self.lock:
            self.settings = self.settings or settings


_chosen = _Chosen()
os.register_at_fork(after_in_child=_chosen.fresh_lock)


def _opened(settings: config.Config) -> _Producer:
    return _Producer(config.open_engine(settings), settings.max_payload)


def engine() -> "Engine":
    """The engine that this process dispatches to. Raises ConfigError."""
    return _chosen.get().engine


def dispatch_by(settings: config.Config) -> None:
    """Dispatch by these settings, unless `connect()` or a dispatch came before: jobs dispatch to
    the engine that their pool serves, whatever flags it was given."""
    _chosen.default(settings)


def connect(url: str, namespace: str | None = None) -> "Engine":
    """Dispatch to this engine from now on, in all threads; the other settings stay as they are.

    It is reached when it is first used, not here. Raises ConfigError.
    """
    given = {"engine": url, "namespace": namespace}
    return _chosen.use(config.load(given, place="connect()")).engine


def max_payload() -> int:
    """The largest payload, in bytes of JSON; opens no engine."""
    return _chosen.configured().max_payload


def send(form: Form, payload: object) -> str:
    """Store one job and return its id. Raises PayloadError, OptionError, EngineUnavailable."""
    to, limit = _chosen.producer or _chosen.open()
    push = form.push(payload, limit)
    try:
        to.push([push])
    except EngineUnavailable as error:
        _store_again(to, [push], error)
    return push.id


def dispatch(
    job: str, payload: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions]
) -> str:
    """Dispatch a job by its name ("jobs:SendMail"); the producer need not have its code.

    Options that are not given are poolq's defaults, not those of the job's class: only its own
    `dispatch()` knows these. Returns the id. Raises OptionError, PayloadError, ConfigError,
    EngineUnavailable.
    """
    job = _job_name(job)
    return send(Form(job, DEFAULTS.changed(options, job)), payload)


def dispatch_many(
    job: "str | type[Job] | JobSettings | FunctionJob[..., Any] | FunctionSettings[..., Any]",
    payloads: Iterable[Mapping[str, Any] | tuple[Mapping[str, Any], DispatchOptions]],
    **options: Unpack[DispatchOptions],
) -> list[str]:
    """Dispatch one job a payload, thousands in one round trip; returns the ids in that order.

    An item may be `(payload, {"delay": "30s"})`, with options of its own. A payload of a function
    job holds its arguments by name. All are checked before the first is stored. Raises what
    `dispatch` raises; after EngineUnavailable, its `ids` are those not known to be stored.
    """
    if isinstance(job, str):
        label = _job_name(job)
        shared, bind = DEFAULTS.changed(options, label), None
    else:
        settings = job.set(**options)
        label, shared, bind = settings.name, settings.options, settings.bind
    if isinstance(payloads, (str, bytes, Mapping)):
        raise PayloadError(f"job {label}: payloads is {payloads!r:.60}; give a list of payloads")
    to, limit = _chosen.get()
    form = Form(label, shared)
    pushes = []
    for index, item in enumerate(payloads):
        payload, own, where = item, form, f"payloads[{index}]"
        if isinstance(item, tuple):
            payload, changes = _pair(item, label, where)
            own = Form(label, shared.changed(changes, f"{label}, {where}"))
        if bind is not None:
            payload = bind(payload)
        pushes.append(own.push(payload, limit, where))
    try:
        if pushes:
            to.push(pushes)
    except EngineUnavailable as error:
        _store_again(to, pushes, error)
    return [push.id for push in pushes]


def _pair(item: tuple[Any, ...], job: str, where: str) -> tuple[Any, Mapping[str, object]]:
    if len(item) != 2 or not isinstance(item[1], Mapping):
        raise PayloadError(
            f"job {job}: {where} is a tuple; write a payload, or (payload, {{option: value}})"
        )
    return item


def _job_name(job: object) -> str:
    if not isinstance(job, str):
        raise OptionError(f"a job is dispatched by its name, not by {job!r}; use its dispatch()")
    return name(job, "the job's name", LONGEST_JOB_NAME)


def _store_again(engine: "Engine", pushes: Sequence[Push], error: EngineUnavailable) -> None:
    """What is certainly not stored is tried again, until it is or PATIENCE ends."""
    give_up = time.monotonic() + PATIENCE
    backoff, failures = Backoff(), 0
    while not error.maybe_stored:
        missing = set(error.ids)
        pushes = [push for push in pushes if push.id in missing] if missing else pushes
        failures += 1
        pause = backoff.pause(failures, random.random())
        if time.monotonic() + pause > give_up:
            break
        time.sleep(pause)
        try:
            engine.push(pushes)
            return
        except EngineUnavailable as again:
            error = again
    ids = error.ids or [push.id for push in pushes]
    raise EngineUnavailable(str(error), ids=ids, maybe_stored=error.maybe_stored) from error
