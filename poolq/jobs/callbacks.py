"""Functions that an application registers for what happens in poolq's processes.

    @poolq.on.loaded       in the template, after the imports and before it forks workers; in each
                           worker, if no template preloads the application
    @poolq.on.started      in a worker, before its first claim
    @poolq.on.stopping     in a worker that leaves; ended after STOPPING_SECONDS
    @poolq.on.dispatch     in a producer, for each job that it dispatches
    @poolq.around_dispatch a generator in a producer, around the storing of one call's jobs
    @poolq.around          a generator in a worker, around `run()` and the hooks of each job

They run in the order in which they were registered; the generators end in the reverse order. If one
of them raises, this is logged and changes nothing.
"""

import inspect
import logging
import signal
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, ContextVar, copy_context
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, ParamSpec, Self, TypeVar, cast

import msgspec

from poolq.errors import OptionError
from poolq.jobs import event_loop
from poolq.jobs.ids import JobId
from poolq.jobs.message import Push, decode, with_fields

if TYPE_CHECKING:
    from poolq.jobs.job import Job

log = logging.getLogger("poolq")
STOPPING_SECONDS = 2.0
MAX_HEADER_BYTES = 8 * 1024


class JobDraft(msgspec.Struct, frozen=True):
    """A job that is about to be dispatched. Callbacks may add texts by name to `headers`, in all up
    to MAX_HEADER_BYTES of JSON. Every attempt of the job finds them in `self.headers`. `size`: the
    bytes of its message; 0 for `on.dispatch`, which comes before there is a message."""

    job: str
    queue: str
    headers: dict[str, str] = {}
    id: str = ""
    size: int = 0


class JobOutcome(NamedTuple):
    """What `yield` returns in an `around` generator. `event`: how the attempt has ended (done,
    retried, failed, discarded, snoozed or held). `error`: what `run()` raised, if anything."""

    event: str
    error: BaseException | None = None


R = TypeVar("R")
P = ParamSpec("P")
#: The job that is running in this context.
running_job: ContextVar[Any] = ContextVar("poolq_current_job")


def current() -> "Job":
    """Return the job that is running here. Raises RuntimeError outside of a running job."""
    try:
        return cast("Job", running_job.get())
    except LookupError:
        raise RuntimeError("poolq.current() was called, but no job is running here") from None


class Event(Generic[P]):
    """A decorator that registers functions for an event. Raises OptionError if a function cannot be
    called with one argument (`takes_one`) or none. `functions`: the registered functions. `around`:
    what the `yield` of its generators stands for; "" if they are plain functions. `is_news`: says
    whether to log an error, which many workers may have."""

    def __init__(
        self, name: str, *, takes_one: bool = False, around: str = "", may_be_async: bool = False
    ) -> None:
        self.name = f"poolq.{name}"
        self._takes_one = takes_one
        self._around = around
        self._may_be_async = may_be_async
        self.functions: list[Callable[P, Any]] = []
        self.is_news: Callable[[str], bool] = bool

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        what = f"{self.name}: {_name(function)}"
        if not callable(function):
            raise OptionError(f"{what} is not a function")
        is_generator = inspect.isgeneratorfunction(function)
        is_async = inspect.iscoroutinefunction(function) and not self._may_be_async
        if self._around and not is_generator:
            raise OptionError(f"{what} has no yield, which stands for {self._around}")
        if not self._around and (is_generator or is_async):
            raise OptionError(f"{what} is async or has a yield; it must be a plain function")
        try:
            inspect.signature(function).bind(*[None] * self._takes_one)
        except TypeError:
            needed = "one argument" if self._takes_one else "no argument"
            raise OptionError(f"{what} must take {needed}") from None
        self.functions.append(function)
        return function

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call all functions. Logs what they raise, even SystemExit. Raises KeyboardInterrupt."""
        for function in self.functions:
            try:
                result = function(*args, **kwargs)
                if self._may_be_async and isinstance(result, Coroutine):
                    event_loop.run(result, self.name, keep_tasks=True)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                what = f"{self.name}: {_name(function)} raised"
                if self.is_news(f"{what} {error!r}"):
                    log.exception(what)


class on:  # noqa: N801  # it reads as a word: @poolq.on.started
    """The events of poolq's processes: see the module's docstring."""

    loaded: Event[[]] = Event("on.loaded")
    started: Event[[]] = Event("on.started", may_be_async=True)
    stopping: Event[[]] = Event("on.stopping", may_be_async=True)
    dispatch: Event[[JobDraft]] = Event("on.dispatch", takes_one=True)


#: Its generator functions get the Job. Their `yield` returns a JobOutcome when `run()` and the
#: hooks have ended.
around: Event[[Any]] = Event("around", takes_one=True, around="the job")
#: Its generator functions get a list of JobDraft, one for each job of a call. Their `yield` returns
#: the ids, of which `JobId.new` says who gave way, or raises what storing has raised, which they
#: cannot swallow.
around_dispatch: Event[[Any]] = Event("around_dispatch", takes_one=True, around="the storing")

EVENTS = (on.loaded, on.started, on.stopping, on.dispatch, around_dispatch, around)


def call_stopping() -> None:
    """Call the callbacks of a leaving worker, in its main thread. The alarm also interrupts waiting
    for a network; the master kills a worker that even this does not stop."""
    if not on.stopping.functions:
        return

    def expire(_number: int, _frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"it took longer than {STOPPING_SECONDS:g} s")

    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, STOPPING_SECONDS)
    try:
        on.stopping.call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", repr(function)))


def encoded_headers(job: str, queue: str, id_: str) -> bytes:
    """Let the callbacks add headers to a job that is being dispatched. Returns the headers as JSON,
    or b"" if there are none. Only headers that cannot be stored or no longer fit are left out."""
    draft = JobDraft(job, queue, {}, id_)
    on.dispatch.call(draft)
    return _encoded(draft, on.dispatch.name)


def _encoded(draft: JobDraft, who: str) -> bytes:
    parts: list[bytes] = []
    free = MAX_HEADER_BYTES - len(b"{")
    for name, text in draft.headers.items():
        part = _header(name, text)
        if part is None:
            log.error("%s: header %.200r is not a text; left out", who, (name, text))
        elif len(part) >= free:
            why = "%s: header %.200s of job %s has %d bytes; %d fit; left out"
            log.error(why, who, name, draft.job, len(part), free - 1)
        else:
            parts.append(part)
            free -= len(part) + len(b",")
    return b"{%b}" % b",".join(parts) if parts else b""


def _header(name: object, text: object) -> bytes | None:
    """Return a header as JSON, or None if it is not valid text, as with a lone surrogate."""
    try:
        both = [msgspec.json.encode(one) for one in (name, text) if type(one) is str]
    except UnicodeEncodeError:
        return None
    return b":".join(both) if len(both) == 2 else None


class _Around:
    """The generators of an event around something. `run` calls their steps, in some context."""

    _caught: type[BaseException] = BaseException  # must change nothing; SystemExit counts too

    def __init__(self, event: Event[[Any]], argument: object, run: Callable[..., Any]) -> None:
        self._event = event
        self._run = run
        self._running: list[Generator[None, Any, None]] = []
        for function in event.functions:
            generator = function(argument)
            if self._advance(generator, generator.__next__):
                self._running.append(generator)

    def leave(self, outcome: object) -> None:
        """Continue the generators after their `yield`, the last one first."""
        while self._running:
            generator = self._running.pop()
            if self._advance(generator, generator.send, outcome):
                log.error("%s: %s yields more than once", self._event.name, _name(generator))
                generator.close()

    def _advance(self, generator: Generator[Any, Any, Any], step: Any, *values: Any) -> bool:
        """Run the generator to its next `yield`. Returns False if it has ended."""
        try:
            self._run(step, *values)
        except StopIteration:
            return False
        except BaseException as raised:
            if raised not in values:
                if not isinstance(raised, self._caught):
                    raise
                log.exception("%s: %s raised", self._event.name, _name(generator))
            return False
        return True


class Surroundings(_Around):
    """The generators around one attempt of a job, and the context that they share with it."""

    def __init__(self, job: Any) -> None:
        self.context: Context = copy_context()
        self.context.run(running_job.set, job)
        super().__init__(around, job, self.context.run)

    def inside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function so that it runs in the context of the generators."""
        return partial(self.context.run, function)


class Storing(_Around):
    """The generators around the storing of one call's jobs, in the caller's context. `pushes`:
    these jobs, with the headers that the generators have added. `ids`: set when they are stored."""

    _caught = Exception

    def __init__(self, pushes: Sequence[Push]) -> None:
        messages = [decode(push.body) for push in pushes]
        drafts = [
            JobDraft(one.job, push.queue, dict(one.headers or {}), push.id, len(push.body))
            for one, push in zip(messages, pushes, strict=True)
        ]
        super().__init__(around_dispatch, drafts, lambda step, *values: step(*values))
        self.pushes = [
            push if draft.headers == (one.headers or {}) else _with_headers(push, draft)
            for one, push, draft in zip(messages, pushes, drafts, strict=True)
        ]
        self.ids: list[JobId] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Continue the generators with the ids, or raise the error in them, the last one first. It
        is the caller's afterwards."""
        if error is None:
            self.leave(self.ids)
        for generator in reversed(self._running):
            self._advance(generator, generator.throw, error)


def _with_headers(push: Push, draft: JobDraft) -> Push:
    headers = _encoded(draft, around_dispatch.name)
    fields = {"headers": msgspec.Raw(headers)} if headers else {}
    return msgspec.structs.replace(push, body=with_fields(push.body, fields))
