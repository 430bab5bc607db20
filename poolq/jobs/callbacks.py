"""Functions that an application registers for what happens in poolq's processes.

    @poolq.on.loaded       in the template, after the imports and before it forks workers; in each
                           worker, if no template preloads the application
    @poolq.on.started      in a worker, before its first claim
    @poolq.on.stopping     in a worker that leaves; ended after STOPPING_SECONDS
    @poolq.on.dispatch     in a producer, for each job that it dispatches
    @poolq.around          a generator in a worker, around `run()` and the hooks of each job

They run in the order in which they were registered; the generators end in the reverse order. If one
of them raises, this is logged and changes nothing.
"""

import inspect
import logging
import signal
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from functools import partial
from types import FrameType
from typing import Any, Generic, NamedTuple, NoReturn, ParamSpec, TypeVar

import msgspec

from poolq.errors import OptionError

log = logging.getLogger("poolq")
STOPPING_SECONDS = 2.0
MAX_HEADER_BYTES = 8 * 1024


class JobDraft(msgspec.Struct, frozen=True):
    """A job that is about to be dispatched. Callbacks may add texts by name to `headers`, in all up
    to MAX_HEADER_BYTES of JSON. Every attempt of the job finds them in `self.headers`."""

    job: str
    queue: str
    headers: dict[str, str] = {}


class JobOutcome(NamedTuple):
    """What `yield` returns in an `around` generator. `event`: how the attempt has ended (done,
    retried, failed, discarded, snoozed or held). `error`: what `run()` raised, if anything."""

    event: str
    error: BaseException | None = None


R = TypeVar("R")
P = ParamSpec("P")


class Event(Generic[P]):
    """A decorator that registers functions for an event. Raises OptionError if a function cannot be
    called with one argument (`takes_one`) or none. `functions`: the registered functions."""

    def __init__(self, name: str, *, takes_one: bool = False, has_yield: bool = False) -> None:
        self._name = f"poolq.{name}"
        self._takes_one = takes_one
        self._has_yield = has_yield
        self.functions: list[Callable[P, Any]] = []

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        what = f"{self._name}: {_name(function)}"
        if not callable(function):
            raise OptionError(f"{what} is not a function")
        is_generator = inspect.isgeneratorfunction(function)
        if self._has_yield and not is_generator:
            raise OptionError(f"{what} has no yield, which stands for the job")
        if not self._has_yield and (is_generator or inspect.iscoroutinefunction(function)):
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
                function(*args, **kwargs)
            except KeyboardInterrupt:
                raise
            except BaseException:
                log.exception("%s: %s raised", self._name, _name(function))


class on:  # noqa: N801  # it reads as a word: @poolq.on.started
    """The events of poolq's processes: see the module's docstring."""

    loaded: Event[[]] = Event("on.loaded")
    started: Event[[]] = Event("on.started")
    stopping: Event[[]] = Event("on.stopping")
    dispatch: Event[[JobDraft]] = Event("on.dispatch", takes_one=True)


#: Its generator functions get the Job. Their `yield` returns a JobOutcome when `run()` and the
#: hooks have ended.
around: Event[[Any]] = Event("around", takes_one=True, has_yield=True)


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


def encoded_headers(job: str, queue: str) -> bytes:
    """Let the callbacks add headers to a job that is being dispatched. Returns the headers as JSON,
    or b"" if there are none. Only headers that cannot be stored or no longer fit are left out."""
    draft = JobDraft(job, queue)
    on.dispatch.call(draft)
    parts: list[bytes] = []
    free = MAX_HEADER_BYTES - len(b"{")
    for name, text in draft.headers.items():
        part = _header(name, text)
        if part is None:
            log.error("poolq.on.dispatch: header %.200r is not a text; left out", (name, text))
        elif len(part) >= free:
            why = "poolq.on.dispatch: header %.200s of job %s has %d bytes; %d fit; left out"
            log.error(why, name, job, len(part), free - 1)
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


class Surroundings:
    """The generators around one attempt of a job, and the context that they share with it."""

    def __init__(self, job: Any) -> None:
        self.context: Context = copy_context()
        self._running: list[Generator[None, JobOutcome, None]] = []
        for function in around.functions:
            generator = function(job)
            if self._advance(generator, generator.__next__):
                self._running.append(generator)

    def inside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function so that it runs in the context of the generators."""
        return partial(self.context.run, function)

    def leave(self, outcome: JobOutcome) -> None:
        """Continue the generators after their `yield`, the last one first."""
        while self._running:
            generator = self._running.pop()
            if self._advance(generator, generator.send, outcome):
                log.error("poolq.around: %s yields more than once", _name(generator))
                generator.close()

    def _advance(self, generator: Generator[Any, Any, Any], step: Any, *values: Any) -> bool:
        """Run the generator to its next `yield`. Returns False if it has ended."""
        try:
            self.context.run(step, *values)
        except StopIteration:
            return False
        except BaseException:  # it must not change the job's outcome; SystemExit counts too
            log.exception("poolq.around: %s raised", _name(generator))
            return False
        return True
