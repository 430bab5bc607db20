"""Jobs: what users write, and what the rest of poolq needs to know of a job's class.

A subclass is checked when it is made, so that a mistake shows where it stands: at the import, in
one line. Function jobs (`functions.py`) make subclasses too; workers see nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, Unpack, cast

from poolq.checks import check_class
from poolq.durations import Duration, when
from poolq.errors import OptionError
from poolq.forms import Form
from poolq.limits import Limit, OnLimit, RateLimit
from poolq.message import Message
from poolq.options import (
    DEFAULTS,
    LONGEST_JOB_NAME,
    OPTIONS,
    Delay,
    DispatchOptions,
    Options,
    RetryAfter,
    name,
)
from poolq.producer import max_payload, send
from poolq.running import FailNow, ReleaseNow, progress, run_inline, running_job


class Job:
    """A kind of work: subclass it, give it a `run()`, and dispatch payloads to it.

    The options are plain class data, read when a job is dispatched: see docs/guide.md. A job has
    the name `module:Class` unless its class has a `name` of its own. An instance lives for one
    execution and is built without arguments. Raises OptionError when a subclass makes no sense.
    """

    name: str
    queue: str = "default"
    if TYPE_CHECKING:
        delay: Delay = None
    attempts: int = 1
    retry_after: RetryAfter = None
    max_crashes: int = 3
    on_limit: OnLimit = "release"
    timeout: Duration | None = None

    payload: dict[str, Any]
    id: str
    attempt: int  # 1 at the first try
    error: BaseException | None  # in on_failure(): why it failed
    poolq_broken: BaseException | None = None  # what __init__ raised

    poolq_delay: ClassVar[Delay] = None  # what the class says of `delay`, which is a method too
    poolq_options: ClassVar[tuple[tuple[object, ...], Options] | None] = None
    poolq_name: ClassVar[tuple[type | None, str]] = (None, "")  # whose: it is not inherited
    #: Whose, its options as they were then, and the form with these.
    poolq_form: ClassVar[tuple[type | None, tuple[object, ...], Form]] = (
        None,
        (),
        Form("", DEFAULTS),
    )

    def __init__(self) -> None:
        _fill(self, "", {}, 1, self.queue, None)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        place = f"{cls.__module__}:{cls.__qualname__}"
        if cls.delay is not Job.__dict__["delay"]:
            cls.poolq_delay, cls.delay = cls.delay, Job.__dict__["delay"]  # see `_raw`
        name(cls.__dict__.get("name", place), f"job {place}: name", LONGEST_JOB_NAME)
        check_class(cls, full_name(cls))
        options_of(cls)

    def run(self) -> Any:
        """The work. `async def` is run to its end on an event loop of its own."""

    def rate_limit(self) -> RateLimit:
        """Asked just before `run()`; None: no limit."""
        return None

    def on_success(self) -> Any:
        """Called after `run()`, once the job is settled as done; at most once."""

    def on_failure(self) -> Any:
        """Called when the job has failed for good; at least once. `self.error` says why."""

    def fail(self, reason: str = "failed by its own fail()") -> NoReturn:
        """Fail for good, whatever attempts remain. Leaves `run()` here; never returns."""
        raise FailNow(str(reason))

    def release(self, delay: Delay = None) -> NoReturn:
        """Back to the queue for another try after `delay`; counts an attempt. Never returns."""
        now = datetime.now()  # noqa: DTZ005  # "tomorrow" is meant in local time
        wait, at = when(delay, now, f"job {full_name(type(self))}: the delay of release()")
        raise ReleaseNow(at - round(now.timestamp() * 1_000_000) if at else wait)

    def progress(self, done: float, total: float = 0, note: str = "") -> None:
        """Tell how far it is, `done` of `total` (0: who knows), for `poolq top` and `poolq job
        show`. It costs microseconds and is kept nowhere. Raises ValueError for what is no number.
        """
        progress(done, total, note)

    if not TYPE_CHECKING:  # to type checkers `delay` is the option; `set(delay=…)` is the typed way

        def delay(self=None, delay: Delay = None, /, *args: Any, **kwargs: Any) -> "JobSettings":
            """`SendMail().delay("+1 hour").dispatch(payload)`. Raises OptionError."""
            if args or kwargs or not isinstance(self, Job):
                raise OptionError(
                    "Job.delay(…) does not dispatch; write SendMail.dispatch(payload), "
                    'and SendMail.set(delay="+1 hour").dispatch(payload) for later'
                )
            return type(self).set(delay=delay)

    @classmethod
    def dispatch(
        cls, payload: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions]
    ) -> str:
        """Store a job with this payload (a dict that JSON can hold) and return its id.

        Raises OptionError, PayloadError, ConfigError, EngineUnavailable.
        """
        form = form_of(cls)
        return send(form.changed(options) if options else form, payload)

    @classmethod
    def set(cls, **options: Unpack[DispatchOptions]) -> "JobSettings":
        """This job with other options, to be dispatched often. Raises OptionError."""
        return JobSettings(cls, options_of(cls).changed(options, full_name(cls)))

    @classmethod
    def dispatch_sync(cls, payload: Mapping[str, Any] | None = None) -> Any:
        """Run here and now, as the sync engine does, and return run()'s result.

        Attempts follow at once one after the other, delays and rate limits do not count, the
        hooks run; the last error is raised.
        """
        return JobSettings(cls, options_of(cls)).dispatch_sync(payload)


def current() -> Job:
    """The job that is running here. Raises RuntimeError outside of a running job."""
    try:
        return cast("Job", running_job.get())
    except LookupError:
        raise RuntimeError("poolq.current() was called, but no job is running here") from None


@dataclass(frozen=True, slots=True)
class JobSettings:
    """A job and the options to dispatch it with; made by `Job.set()`."""

    job: type[Job]
    options: Options
    bind: ClassVar[None] = None

    @property
    def name(self) -> str:
        return job_name(self.job)

    def set(self, **options: Unpack[DispatchOptions]) -> "JobSettings":
        """The same with some options changed. Raises OptionError."""
        return JobSettings(self.job, self.options.changed(options, full_name(self.job)))

    def dispatch(
        self, payload: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions]
    ) -> str:
        """As `Job.dispatch`, with these options."""
        job, own = job_name(self.job), self.options
        return send(Form(job, own.changed(options, job) if options else own), payload)

    def dispatch_sync(self, payload: Mapping[str, Any] | None = None) -> Any:
        """As `Job.dispatch_sync`, with these options."""
        form = Form(full_name(self.job), self.options)
        return inline(self.job, form.push(payload, max_payload()).body)


class Hooks(NamedTuple):
    """Which of its methods a job has of its own."""

    limit: bool
    success: bool
    failure: bool


def hooks(cls: type[Job]) -> Hooks:
    """Which hooks need to be called."""
    return Hooks(
        cls.rate_limit is not Job.rate_limit,
        cls.on_success is not Job.on_success,
        cls.on_failure is not Job.on_failure,
    )


def full_name(cls: type[Job]) -> str:
    """The name of a job's class, whether or not it can be dispatched."""
    own = cls.__dict__.get("name")
    return own if isinstance(own, str) else f"{cls.__module__}:{cls.__qualname__}"


def job_name(cls: type[Job]) -> str:
    """The name under which workers find the class. Raises OptionError where there is none."""
    known, found = cls.poolq_name
    if known is cls:
        return found
    found = full_name(cls)
    if not is_job(cls):
        raise OptionError(f"job {found} has no run() and cannot be dispatched")
    if found.startswith("__main__:"):
        raise OptionError(
            f"job {found} stands in the script that is run, where no worker can find it; "
            "move it to a module, or give it a name"
        )
    cls.poolq_name = (cls, found)
    return found


def is_job(cls: type[Job]) -> bool:
    """True if it can be run: it has a run(), and no abstract method."""
    return cls.run is not Job.run and not getattr(cls, "__abstractmethods__", None)


#: A class's options as they stand there now, in the order of Options' fields. A class's `delay` was
#: put aside when the class was made, since its instances have a method of that name; the last item
#: is that method, or a delay that was set later.
_raw = attrgetter(*("poolq_delay" if option == "delay" else option for option in OPTIONS), "delay")


def _copied(raw: tuple[object, ...]) -> tuple[object, ...]:
    """To be compared later: a list could have changed along with its class."""
    return tuple([tuple(one) if isinstance(one, list) else one for one in raw])


def form_of(cls: type[Job]) -> Form:
    """The form of a class that can be dispatched, with its options of now. Raises OptionError."""
    whose, known, form = cls.poolq_form
    raw = _raw(cls)
    if whose is not cls or (known != raw and known != _copied(raw)):
        form = Form(job_name(cls), options_of(cls))
        cls.poolq_form = (cls, _copied(raw), form)
    return form


def options_of(cls: type[Job]) -> Options:
    """The options as the class has them now. Raises OptionError."""
    raw = _raw(cls)
    if cls.poolq_options is not None:
        known, options = cls.poolq_options
        if known == raw or known == _copied(raw):  # copied where it has to be
            return options
    given = dict(zip(OPTIONS, raw[:-1], strict=True))
    if raw[-1] is not Job.__dict__["delay"]:  # it was set when the class had been made
        given["delay"] = raw[-1]
    options = DEFAULTS.changed(given, full_name(cls))
    cls.poolq_options = (_copied(raw), options)
    return options


def build(
    cls: type[Job],
    *,
    id: str,
    payload: dict[str, Any],
    attempt: int,
    queue: str,
    error: BaseException | None = None,
) -> Job:
    """A fresh instance for one execution. `payload` becomes the job's own: nobody may share it.

    Never raises: an `__init__` that does is kept for `running.call`, where it counts as an error
    of `run()`.
    """
    try:
        # The base's own __init__ fills in what is filled in below.
        plain = cls.__init__ is Job.__init__ and type(cls) is type
        job = cls.__new__(cls) if plain else cls()
    except BaseException as raised:  # noqa: BLE001  # user code; SystemExit counts too
        job = object.__new__(cls)
        vars(job)["poolq_broken"] = raised
    _fill(job, id, payload, attempt, queue, error)
    return job


def _fill(
    job: Job,
    id: str,
    payload: dict[str, Any],
    attempt: int,
    queue: str,
    error: BaseException | None,
) -> None:
    try:
        job.id = id
        job.payload = payload
        job.attempt = attempt
        job.queue = queue
        job.error = error
    except Exception:  # noqa: BLE001  # a __setattr__ or a property of the user's own
        vars(job).update(id=id, payload=payload, attempt=attempt, queue=queue, error=error)


def inline(cls: type[Job], body: bytes, *, ask_limits: bool = False) -> Any:
    """Run a stored form here: see `running.run_inline`. `ask_limits`: its limits must be good ones,
    though none is waited for."""

    def make(read: Message, attempt: int) -> Job:
        return build(cls, id=read.id, payload=read.payload, attempt=attempt, queue=read.queue)

    def limits(job: Job) -> object:
        return Limit.parse(job.rate_limit(), full_name(cls))

    return run_inline(make, body, limits if ask_limits and hooks(cls).limit else None)
