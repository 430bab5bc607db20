"""The class Job that users subclass, and what the rest of poolq needs to know about a job's class.

A subclass is checked when it is defined, so a mistake is reported in one line when the module is
imported. `@job` (`function_job.py`) creates subclasses too, so workers only deal with classes.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, Unpack
from weakref import WeakValueDictionary

from poolq.common.durations import Duration
from poolq.common.lengths import MAX_JOB_NAME_BYTES
from poolq.common.names import check_name
from poolq.errors import OptionError, PayloadError
from poolq.jobs import typed
from poolq.jobs.async_dispatch import asend
from poolq.jobs.class_checks import check_class
from poolq.jobs.ids import JobId
from poolq.jobs.limits import Concurrent, Declared, Gate, OnLimit, RateLimit, parse
from poolq.jobs.message import Message
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.payload import Payload
from poolq.jobs.producer import send, settings
from poolq.jobs.retry_policy import ErrorRule, RetryAfter, RetryOn, read_answer, read_rules, rule_of
from poolq.jobs.unique import Unique

from poolq.jobs.options import (  # isort: skip
    DEFAULTS, OPTIONS, Delay, DispatchOptions, Options, micros_until,
)  # fmt: skip
from poolq.jobs.running import (  # isort: skip
    FailNow, ReleaseNow, SnoozeNow, ask, call, progress, run_inline, worker_rows,
)  # fmt: skip

log = logging.getLogger("poolq")
#: The classes that this process has defined, by name; of two with the same name, the newer.
defined: "WeakValueDictionary[str, type[Job]]" = WeakValueDictionary()


class Job:
    """A kind of work: subclass it, give it a `run()`, and dispatch payloads to it.

        class SendMail(Job):
            attempts = 3
            def run(self):
                send(self.payload["to"])

        SendMail.dispatch({"to": "bob@example.com"})

    Options are plain class attributes, read at each dispatch; see docs/reference.md. A job is
    called `module:Class` unless its class sets `name`. An instance lives for one execution and is
    created without arguments. Defining a subclass that could not run raises OptionError.
    """

    name: str
    queue: str = "default"
    delay: Delay = None
    attempts: int = 1
    retry_after: RetryAfter = None
    max_crashes: int = 3
    on_limit: OnLimit = "release"
    timeout: Duration | None = None
    jitter: float | None = None
    max_snoozes: int | None = None
    unique: Unique | None = None
    expires: Duration | None = None
    concurrent: Concurrent | None = None
    retry_on: RetryOn = MappingProxyType({})

    payload: Any  # a dict, or what a subclass annotates it with
    id: str
    attempt: int  # from 1
    headers: Mapping[str, str] = MappingProxyType({})  # from poolq.on.dispatch
    scheduled_at: datetime | None = None  # a periodic job's tick, in UTC
    error: BaseException | None  # why the job failed; set for on_failure() and on_discard()
    poolq_init_error: BaseException | None = None  # what __init__ raised
    #: For `poolq.around`: the bytes of its message, and for how many seconds it has been due when
    #: it started, if that is known.
    poolq_size: ClassVar[int] = 0
    poolq_waited: ClassVar[float | None] = None

    poolq_sent: ClassVar[type | None] = None  # this class, once it is known that workers find it
    #: A class, its options when the template was made, and the template.
    poolq_template: ClassVar[tuple[type | None, tuple[object, ...], MessageTemplate]] = (
        None,
        (),
        MessageTemplate("", DEFAULTS),
    )

    def __init__(self) -> None:
        vars(self).update(id="", payload={}, attempt=1, queue=self.queue, error=None)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        place = f"{cls.__module__}:{cls.__qualname__}"
        check_name(cls.__dict__.get("name", place), f"job {place}: name", MAX_JOB_NAME_BYTES)
        check_class(cls, full_name(cls))
        read_rules(cls.retry_on, f"job {full_name(cls)}: retry_on")
        options_of(cls)
        defined[full_name(cls)] = cls
        typed.note_class(full_name(cls), cls)

    def run(self) -> Any:
        """Do the work. A coroutine is run to completion. A worker's jobs share one event loop."""

    def rate_limit(self) -> RateLimit:
        """Return the limits of this job, or None for no limit. Called just before `run()`."""
        return None

    def on_success(self) -> Any:
        """Called at most once, after the engine has recorded the job as done."""

    def on_failure(self) -> Any:
        """Called at least once, when the job has failed permanently. `self.error` is the reason."""

    def on_discard(self) -> Any:
        """Called at most once, after the engine has discarded the job because of `self.error`."""

    def on_expired(self) -> Any:
        """Called at most once, after the engine has deleted the job because it had expired."""

    def retry(self, error: BaseException) -> Duration | Literal["discard", "fail"] | None:  # noqa: ARG002  # overrides use it
        """Decide what to do after `run()` or `rate_limit()` has raised `error`. Return the delay
        until the next attempt, "discard", "fail", or None to let `retry_on` decide. The last
        attempt fails even if a delay is returned. If this method raises, `retry_on` decides."""
        return None

    def fail(self, reason: str = "failed by its own fail()") -> NoReturn:
        """Fail permanently, even if attempts remain. Ends `run()`; never returns."""
        raise FailNow(str(reason))

    def release(self, delay: Delay = None) -> NoReturn:
        """End `run()` and try again after `delay`. This uses an attempt. Raises DurationError."""
        raise ReleaseNow(
            micros_until(delay, f"job {full_name(type(self))}: the delay of release()")
        )

    def snooze(self, delay: Delay = None) -> NoReturn:
        """End `run()` and start the job again after `delay`, without using an attempt. After
        `max_snoozes` snoozes, the job fails. Raises DurationError."""
        raise SnoozeNow(micros_until(delay, f"job {full_name(type(self))}: the delay of snooze()"))

    def progress(self, done: float, total: float = 0, note: str = "") -> None:
        """Report `done` of `total` (0 if unknown) to `poolq top` and `poolq job show`.

        A call takes microseconds, and nothing is stored. Raises ValueError unless both are numbers.
        """
        progress(done, total, note)

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cancelled this job while it runs. It should then clean up and return
        within the grace that the cancellation gave; after that its worker is killed."""
        return any(row.is_running_cancelled() for row in worker_rows)

    @classmethod
    def dispatch(cls, payload: Payload | None = None, **options: Unpack[DispatchOptions]) -> JobId:
        """Store a job with this payload (a dict of JSON values, or what the class annotates) and
        return its id, 32 hex digits.

        If a `unique` job gives way to another job, return the other job's id, whose `new` is False.

        Raises OptionError, PayloadError, ConfigError, EngineUnavailable.
        """
        template = template_of(cls)
        return send(template.changed(options) if options else template, payload)

    @classmethod
    async def adispatch(
        cls, payload: Payload | None = None, **options: Unpack[DispatchOptions]
    ) -> JobId:
        """As `dispatch`, without blocking the event loop. If the call is cancelled before its job
        is sent, the job is not stored; later, it may be stored, and the log names it."""
        template = template_of(cls)
        return await asend(template.changed(options) if options else template, payload)

    @classmethod
    def set(cls, **options: Unpack[DispatchOptions]) -> "JobSettings":
        """Return this job with other options, for any number of dispatches. Raises OptionError."""
        return JobSettings(cls, options_of(cls).changed(options, full_name(cls)))

    @classmethod
    def dispatch_sync(cls, payload: Payload | None = None) -> Any:
        """Run the job in this process, as the sync engine does, and return the result of run().

        Attempts follow each other immediately, delays and rate limits are ignored, and hooks run.
        Raises PayloadError, and the error of the last attempt.
        """
        return JobSettings(cls, options_of(cls)).dispatch_sync(payload)


@dataclass(frozen=True, slots=True)
class JobSettings:
    """A job and the options to dispatch it with, created by `Job.set()`."""

    job: type[Job]
    options: Options
    bind: ClassVar[None] = None

    @property
    def name(self) -> str:
        return job_name(self.job)

    def set(self, **options: Unpack[DispatchOptions]) -> "JobSettings":
        """Return a copy with some options changed. Raises OptionError."""
        return JobSettings(self.job, self.options.changed(options, full_name(self.job)))

    def dispatch(self, payload: Payload | None = None, **options: Unpack[DispatchOptions]) -> JobId:
        """Like `Job.dispatch`, with these options."""
        return send(self._template(options), payload)

    async def adispatch(
        self, payload: Payload | None = None, **options: Unpack[DispatchOptions]
    ) -> JobId:
        """Like `Job.adispatch`, with these options."""
        return await asend(self._template(options), payload)

    def _template(self, options: Mapping[str, object]) -> MessageTemplate:
        job = job_name(self.job)
        return MessageTemplate(job, self.options.changed(options, job))

    def dispatch_sync(self, payload: Payload | None = None) -> Any:
        """Like `Job.dispatch_sync`, with these options."""
        template = MessageTemplate(full_name(self.job), self.options)
        return inline(self.job, template.push(payload, settings().max_payload).body)


class Hooks(NamedTuple):
    """`rules`: the `retry_on` of a job's class. Each other field: whether the class overrides the
    method of this name; only then is it called. `rate_limit` is also True with `concurrent`."""

    rules: Mapping[type[BaseException], ErrorRule]
    rate_limit: bool
    on_success: bool
    on_failure: bool
    on_discard: bool
    on_expired: bool
    retry: bool


def hooks(cls: type[Job]) -> Hooks:
    """Return which hooks must be called for jobs of this class."""
    methods = [getattr(cls, name) is not getattr(Job, name) for name in Hooks._fields[1:]]
    found = Hooks(read_rules(cls.retry_on, f"job {full_name(cls)}: retry_on"), *methods)
    return found if cls.concurrent is None else found._replace(rate_limit=True)


def limits_of(job: Job, name: str, gate: Gate | None) -> tuple[Declared, ...]:
    """Return the limits of a job whose message has this gate. Raises if a limit is invalid, or the
    payload does not fit."""
    if isinstance(job.poolq_init_error, FailNow):
        raise job.poolq_init_error
    limits, own = parse(job.rate_limit(), name), options_of(type(job)).concurrent
    if own is not None:  # the number of the class applies, but the key of the dispatch
        gate = (gate or own.gate(name, job.payload))._replace(limit=own.limit)
    return parse([*limits, Concurrent(gate.limit, key=gate.key)], name) if gate else limits


def error_rule(job: Job, hooks: Hooks, error: BaseException) -> tuple[ErrorRule, str]:
    """Return the rule for an error of the job, and the text of what its `retry()` raised, or ""."""
    problem = ""
    if hooks.retry:
        try:
            name = f"job {full_name(type(job))}: retry()"
            if (answer := read_answer(ask(job, "retry", error), name)) is not None:
                return answer, ""
        except BaseException as raised:  # noqa: BLE001  # user code; SystemExit counts too
            problem = f"{type(raised).__name__}: {raised}"
    return rule_of(hooks.rules, error), problem


def settings_of(
    job: Any, options: Mapping[str, object]
) -> tuple[str, Options, Callable[[object], dict[str, Any]] | None]:
    """Return a job's name, its options and, for a function job, the function that makes payloads. A
    job given by name has the options of its class, or poolq's defaults if this process has not
    defined the class. `options` replace some of them. Raises OptionError."""
    if not isinstance(job, str):
        chosen = job.set(**options)
        return chosen.name, chosen.options, chosen.bind
    cls = defined.get(job)
    own = DEFAULTS if cls is None or not is_job(cls) else options_of(cls)
    return job, own.changed(options, job), None


def full_name(cls: type[Job]) -> str:
    """Return the name of a job's class, even of one that cannot be dispatched."""
    own = cls.__dict__.get("name")
    return own if isinstance(own, str) else f"{cls.__module__}:{cls.__qualname__}"


def job_name(cls: type[Job]) -> str:
    """Return the name by which workers find the class. Raises OptionError if none could find it."""
    name = full_name(cls)
    if not is_job(cls):
        raise OptionError(f"job {name} has no run() and cannot be dispatched")
    if name.startswith("__main__:"):
        raise OptionError(
            f"job {name} is defined in the script being run, where no worker can find it; "
            "move it to a module, or give it a name"
        )
    return name


def is_job(cls: type[Job]) -> bool:
    """Return whether the class overrides run() and has no abstract methods, so it can be run."""
    return cls.run is not Job.run and not getattr(cls, "__abstractmethods__", None)


#: Returns the current options of a class, in the order of Options' fields.
_current_options = attrgetter(*OPTIONS)


def _snapshot_of(raw: tuple[object, ...]) -> tuple[object, ...]:
    """Copy options for a later comparison, since a list may be changed in place."""
    return tuple([tuple(one) if isinstance(one, list) else one for one in raw])


def template_of(cls: type[Job], *, sends: bool = True) -> MessageTemplate:
    """Return the message template of a class with its current options. `sends`: whether the caller
    will store a job with the template. Raises OptionError."""
    whose, known, template = cls.poolq_template
    raw = _current_options(cls)
    if whose is not cls or (known != raw and known != _snapshot_of(raw)):
        name = full_name(cls)
        options = DEFAULTS.changed(dict(zip(OPTIONS, raw, strict=True)), name)
        if cls.rate_limit is Job.rate_limit:  # else only a worker knows all limits
            options = options.parking()
        template = MessageTemplate(name, options)
        cls.poolq_template = (cls, _snapshot_of(raw), template)
    if sends and cls.poolq_sent is not cls:
        job_name(cls)
        cls.poolq_sent = cls
    return template


def options_of(cls: type[Job]) -> Options:
    """Return the current options of the class. Raises OptionError."""
    return template_of(cls, sends=False).options


def build(
    cls: type[Job], message: Message, attempt: int, queue: str, error: BaseException | None = None
) -> Job:
    """Create an instance for one execution. It gets the message's payload itself, not a copy. Never
    raises. If `__init__` fails, `running.call` raises the error as if `run()` had raised it. A
    payload that does not fit its annotation fails the job, whose hooks find it as it was stored."""
    id_, payload = message.id, message.payload
    try:
        # Job.__init__ is skipped, since it only sets what is set below.
        plain = cls.__init__ is Job.__init__ and type(cls) is type
        job = cls.__new__(cls) if plain else cls()
    except BaseException as raised:  # noqa: BLE001  # user code; SystemExit counts too
        job = object.__new__(cls)
        vars(job)["poolq_init_error"] = raised
    if typed.shapes and (shape := typed.shapes.get(message.job)) and not shape.is_plain:
        try:
            payload = shape.decode(payload)
        except (PayloadError, OptionError) as misfit:
            vars(job)["poolq_init_error"] = FailNow(str(misfit))
    try:
        job.id = id_
        job.payload = payload
        job.attempt = attempt
        job.queue = queue
        job.error = error
    except Exception:  # noqa: BLE001  # by a __setattr__ or a property of the user
        vars(job).update(id=id_, payload=payload, attempt=attempt, queue=queue, error=error)
    if message.headers:
        vars(job)["headers"] = message.headers  # bypasses a __setattr__ of the user
    if message.scheduled_at:
        vars(job)["scheduled_at"] = datetime.fromtimestamp(message.scheduled_at / 1e6, UTC)
    return job


def inline(cls: type[Job], body: bytes, *, ask_limits: bool = False) -> Any:
    """Run a stored message in this process; see `running.run_inline`. `ask_limits`: whether to
    validate the job's rate limits, which are not applied."""
    own = hooks(cls)

    def make(message: Message, attempt: int) -> Job:
        return build(cls, message, attempt, message.queue)

    def run(job: Job) -> Any:
        if ask_limits and own.rate_limit and job.poolq_init_error is None:
            limits_of(job, full_name(cls), None)
        return call(job)

    def judge(job: Job, error: BaseException) -> ErrorRule:
        rule, problem = error_rule(job, own, error)
        if problem:
            log.error("retry() of job %s raised %s; retry_on decides", job.id, problem)
        return rule

    return run_inline(body, make, run, judge)
