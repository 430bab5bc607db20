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
from collections.abc import Callable, Generator, Sequence
from contextvars import Context, copy_context
from functools import partial
from types import FrameType
from typing import Any, NamedTuple, NoReturn, TypeVar

import msgspec

from poolq.errors import OptionError

log = logging.getLogger("poolq")
STOPPING_SECONDS = 2.0
MAX_HEADER_BYTES = 8 * 1024


class JobDraft(msgspec.Struct, frozen=True):
    """A job that is about to be dispatched. Callbacks may add `headers`, texts by name, which every
    attempt of the job finds in `self.headers`. Together they may have MAX_HEADER_BYTES of JSON."""

    job: str
    queue: str
    headers: dict[str, str] = {}


class JobOutcome(NamedTuple):
    """What `yield` returns in an `around` generator. `event`: how the attempt has ended, which is
    done, retried, failed, discarded, snoozed or held. `error`: what `run()` raised, if anything."""

    event: str
    error: BaseException | None = None


Function = TypeVar("Function", bound=Callable[..., object])
ProcessCallback = TypeVar("ProcessCallback", bound=Callable[[], object])
DraftCallback = TypeVar("DraftCallback", bound=Callable[[JobDraft], object])
Around = TypeVar("Around", bound=Callable[[Any], Generator[None, JobOutcome, None]])

_loaded: list[Callable[[], object]] = []
_started: list[Callable[[], object]] = []
_stopping: list[Callable[[], object]] = []
#: The callbacks for dispatches. Producers only check whether there are any.
dispatching: list[Callable[[JobDraft], object]] = []
#: The generator functions around jobs. Workers only check whether there are any.
arounds: list[Callable[[Any], Generator[None, JobOutcome, None]]] = []


class on:  # noqa: N801  # it reads as a word: @poolq.on.started
    """Decorators that register a function for an event: see the module's docstring. Each raises
    OptionError if the function could not be called."""

    @staticmethod
    def loaded(function: ProcessCallback) -> ProcessCallback:
        """Call `function()` once after each load of the code: once for each generation, before its
        workers are forked, or in each worker if the pool does not preload."""
        return _register(function, _loaded, "loaded", 0)

    @staticmethod
    def started(function: ProcessCallback) -> ProcessCallback:
        """Call `function()` in each worker, before its first claim."""
        return _register(function, _started, "started", 0)

    @staticmethod
    def stopping(function: ProcessCallback) -> ProcessCallback:
        """Call `function()` in each worker that leaves, for at most STOPPING_SECONDS."""
        return _register(function, _stopping, "stopping", 0)

    @staticmethod
    def dispatch(function: DraftCallback) -> DraftCallback:
        """Call `function(draft)` with the JobDraft of each job that this process dispatches."""
        return _register(function, dispatching, "dispatch", 1)


def around(function: Around) -> Around:
    """Run the generator `function(job)` around `run()` and the hooks of each job. Its `yield`
    returns a JobOutcome when they have ended. Raises OptionError unless it is a generator."""
    if not inspect.isgeneratorfunction(function):
        raise OptionError(f"poolq.around: {_name(function)} has no yield, which stands for the job")
    return _register(function, arounds, "around", 1, plain=False)


def _register(
    function: Function, to: list[Any], event: str, arguments: int, *, plain: bool = True
) -> Function:
    what = f"poolq.{'on.' * plain}{event}: {_name(function)}"
    if not callable(function):
        raise OptionError(f"{what} is not a function")
    if plain and (inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function)):
        raise OptionError(f"{what} is async or has a yield; it must be a plain function")
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        needed = ("no argument", "one argument")[arguments]
        raise OptionError(f"{what} must take {needed}") from None
    to.append(function)
    return function


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", repr(function)))


def call_loaded() -> None:
    _call_all(_loaded, "loaded")


def call_started() -> None:
    _call_all(_started, "started")


def call_stopping() -> None:
    """Call the callbacks of a leaving worker, in its main thread. The alarm also interrupts waiting
    for a network; the master kills a worker that even this does not stop."""
    if not _stopping:
        return

    def expire(_number: int, _frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"it took longer than {STOPPING_SECONDS:g} s")

    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, STOPPING_SECONDS)
    try:
        _call_all(_stopping, "stopping")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _call_all(functions: Sequence[Callable[[], object]], event: str) -> None:
    for function in functions:
        try:
            function()
        except BaseException:  # a callback changes nothing; SystemExit counts too
            log.exception("poolq.on.%s: %s raised", event, _name(function))


def encoded_headers(job: str, queue: str) -> bytes:
    """Ask the callbacks for the headers of a job that is being dispatched. Returns them as JSON, or
    b"" if there are none. A header that cannot be stored, or no longer fits, is left out alone."""
    draft = JobDraft(job, queue)
    for function in dispatching:
        try:
            function(draft)
        except Exception:  # a callback changes nothing
            log.exception("poolq.on.dispatch: %s raised", _name(function))
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
    """Return a header as JSON; None if it is no text, such as a file name with a lone surrogate."""
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
        for function in arounds:
            generator = function(job)
            if self._advance(generator, generator.__next__):
                self._running.append(generator)

    def inside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function so that it runs in the context of the generators."""
        return partial(self.context.run, function)

    def leave(self, outcome: JobOutcome) -> None:
        """Continue the generators behind their `yield`, the last one first."""
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
