"""Function jobs: `@poolq.job` creates a Job class for a function, which stays callable.

The payload holds the arguments by parameter name, so a function job can have neither
positional-only parameters nor `*args`. `dispatch` checks its arguments as a call would.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NoReturn,
    ParamSpec,
    TypeVar,
    Unpack,
    overload,
)

from poolq.common.durations import Duration
from poolq.common.names import suggestion
from poolq.errors import OptionError, PayloadError
from poolq.jobs import declarations, schedule_plan
from poolq.jobs.class_checks import reject_generator
from poolq.jobs.ids import JobId
from poolq.jobs.job import Job, full_name, inline, job_name, options_of, template_of
from poolq.jobs.limits import RateLimit, parse
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS, OPTIONS, DispatchOptions, Options
from poolq.jobs.producer import max_payload, send
from poolq.jobs.retry_policy import RetryOn

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

Hook = Callable[[Job], object]
RetryDecision = Callable[[Job, BaseException], Duration | Literal["discard", "fail"] | None]


@dataclass(frozen=True, slots=True)
class FunctionSettings(Generic[P, R_co]):
    """A function job and the options to dispatch it with, created by `set()`."""

    function: "FunctionJob[P, R_co]"
    options: Options

    @property
    def name(self) -> str:
        return job_name(self.function.job)

    def bind(self, arguments: object) -> dict[str, Any]:
        """Return the payload for arguments by name. Raises TypeError, PayloadError."""
        if not isinstance(arguments, Mapping):
            raise PayloadError(f"job {self.name}: the arguments are {arguments!r}; give a dict")
        return self._bound((), arguments)

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self.function.with_keys(self.function.bind(args, kwargs), self.options)

    def set(self, **options: Unpack[DispatchOptions]) -> "FunctionSettings[P, R_co]":
        """Return a copy with some options changed. Raises OptionError."""
        changed = self.options.changed(options, full_name(self.function.job))
        return FunctionSettings(self.function, changed)

    def dispatch(self, /, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """Store a call; return the job's id. Raises TypeError and the errors of `Job.dispatch`."""
        template = MessageTemplate(job_name(self.function.job), self.options)
        return send(template, self._bound(args, kwargs))

    @overload
    def dispatch_sync(
        self: "FunctionSettings[P, Coroutine[Any, Any, T]]", /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def dispatch_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def dispatch_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the call as a job in this process; see `Job.dispatch_sync`."""
        job = self.function.job
        payload = self._bound(args, kwargs)
        template = MessageTemplate(full_name(job), self.options)
        return inline(job, template.push(payload, max_payload()).body)


class FunctionJob(Generic[P, R_co]):
    """A function that can also be dispatched. Calling it simply calls the function.

    `job` is the Job class created for the function, `signature` the function's signature.
    """

    def __init__(
        self, function: Callable[P, R_co], made: type[Job], signature: inspect.Signature
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.job = made
        self.signature = signature

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function job {full_name(self.job)}>"

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by parameter name. Raises TypeError if they do not fit."""
        try:
            bound = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"job {full_name(self.job)}: {error}") from None
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                bound.update(bound.pop(parameter.name, {}))
        return bound

    def with_keys(self, payload: dict[str, Any], options: Options) -> dict[str, Any]:
        """Add the defaults of omitted arguments that are part of a key, and return the payload."""
        for _, field in _key_fields(options):
            parameter = self.signature.parameters.get(field)
            if parameter is not None and parameter.default is not parameter.empty:
                payload.setdefault(field, parameter.default)
        return payload

    if not TYPE_CHECKING:

        def delay(self, *_: Any, **__: Any) -> NoReturn:
            """Explain to users of Celery what to write instead. Raises OptionError."""
            name = self.function.__name__
            raise OptionError(
                f"{name}.delay(…) does not dispatch; write {name}.dispatch(…), "
                f'and {name}.set(delay="+1 hour").dispatch(…) for later'
            )

    def set(self, **options: Unpack[DispatchOptions]) -> FunctionSettings[P, R_co]:
        """Return this job with other options, for any number of dispatches. Raises OptionError."""
        return FunctionSettings(self, options_of(self.job).changed(options, full_name(self.job)))

    def dispatch(self, /, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """Store a call; return the job's id. Raises TypeError and the errors of `Job.dispatch`."""
        template, payload = template_of(self.job), self.bind(args, kwargs)
        return send(
            template, self.with_keys(payload, template.options) if template.is_special else payload
        )

    @overload
    def dispatch_sync(
        self: "FunctionJob[P, Coroutine[Any, Any, T]]", /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def dispatch_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def dispatch_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the call as a job in this process; see `Job.dispatch_sync`."""
        return self.set().dispatch_sync(*args, **kwargs)


@overload
def job(function: Callable[P, R], /) -> FunctionJob[P, R]: ...
@overload
def job(
    *,
    name: str | None = None,
    rate_limit: RateLimit | Callable[[Job], RateLimit] = None,
    on_success: Hook | None = None,
    on_failure: Hook | None = None,
    on_discard: Hook | None = None,
    on_expired: Hook | None = None,
    retry: RetryDecision | None = None,
    retry_on: RetryOn | None = None,
    every: Duration | None = None,
    **options: Unpack[DispatchOptions],
) -> Callable[[Callable[P, R]], FunctionJob[P, R]]: ...
def job(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    rate_limit: RateLimit | Callable[[Job], RateLimit] = None,
    on_success: Hook | None = None,
    on_failure: Hook | None = None,
    on_discard: Hook | None = None,
    on_expired: Hook | None = None,
    retry: RetryDecision | None = None,
    retry_on: RetryOn | None = None,
    every: Duration | None = None,
    **options: Unpack[DispatchOptions],
) -> Any:
    """Turn a function into a job: `@poolq.job` or `@poolq.job(queue="emails", attempts=3)`.

        @poolq.job(attempts=3)
        def send_mail(to: str) -> None: ...

        send_mail.dispatch(to="bob@example.com")

    `rate_limit` is a limit, a list of limits, or a function that takes the running Job and returns
    either. Hooks are functions that take the Job (with its `payload`, `id` and `error`). `retry`
    takes the Job and an error. `every` makes it periodic, see `poolq.every`. Raises OptionError.
    """
    members = {
        "name": name, "rate_limit": rate_limit, "retry": retry, "retry_on": retry_on,
        "on_success": on_success, "on_failure": on_failure, "on_discard": on_discard,
        "on_expired": on_expired,
    }  # fmt: skip

    def decorate(function: Callable[..., Any]) -> FunctionJob[..., Any]:
        given = {member: value for member, value in members.items() if value is not None}
        made = _make(function, given, options)
        if every is not None:
            declarations.note(every, made)
        return made

    return decorate if function is None else decorate(function)


def _make(
    function: Callable[..., Any], given: Mapping[str, Any], options: Mapping[str, Any]
) -> FunctionJob[..., Any]:
    """Create the class of a job. `given`: its members, as they were given to the decorator."""
    signature = _signature(function)
    shown = given.get("name") or f"{function.__module__}:{function.__qualname__}"
    for option in options:
        _check_option(option, function.__name__, shown)
    _check_keys(signature, DEFAULTS.changed(options, shown), shown)
    made = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "run": _run(function),
        **options,
    }
    for member, value in given.items():
        if member == "rate_limit":
            made[member] = _limit(value, shown)
        elif member == "retry":
            made[member] = _retry(value, f"job {shown}: retry")
        elif member.startswith("on_"):
            made[member] = _hook(value, f"job {shown}: {member}")
        else:
            made[member] = value
    return FunctionJob(function, type(function.__name__, (Job,), made), signature)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature. Raises OptionError unless all arguments can be given by name."""
    if not inspect.isfunction(function):
        raise OptionError(f"@poolq.job decorates functions, not {function!r}; subclass poolq.Job")
    what = f"job {function.__module__}:{function.__qualname__}"
    reject_generator(function, what)
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise OptionError(
                f"{what}: {parameter} cannot be given by name, as a job's arguments must be; "
                "leave out the / or the *"
            )
    return signature


def _check_option(option: str, function: str, label: str) -> None:
    """Raise OptionError if the decorator has no such option."""
    if option in OPTIONS:
        return
    if option in schedule_plan.OPTIONS:
        raise OptionError(
            f"job {label}: {option} is an option of its schedule; leave out every, and write "
            f"poolq.every(…, {function}, {option}=…) below the function"
        )
    parameters = inspect.signature(job).parameters.values()
    known = [*OPTIONS, *(one.name for one in parameters if one.kind is one.KEYWORD_ONLY)]
    all_of_them = f"the options are {', '.join(known)}; data belongs in the payload"
    hint = suggestion(option, known, all_of_them)
    raise OptionError(f"job {label}: unknown option {option}; {hint}")


def _key_fields(options: Options) -> list[tuple[str, str]]:
    """Return the payload fields that are part of a key, each with the option that names it."""
    found = [("unique", field) for field in (options.unique.fields if options.unique else ())]
    return found + [
        ("concurrent", field) for field in (options.concurrent.by if options.concurrent else ())
    ]


def _check_keys(signature: inspect.Signature, options: Options, job: str) -> None:
    """Raise OptionError if a key consists of an argument that the function does not have."""
    known = signature.parameters
    if any(one.kind is one.VAR_KEYWORD for one in known.values()):
        return
    for option, field in _key_fields(options):
        if field not in known:
            hint = suggestion(field, known, f"it has {', '.join(known) or 'none'}")
            raise OptionError(
                f"job {job}: {option} names {field!r}, which is no argument of it; {hint}"
            )


def _run(function: Callable[..., Any]) -> Callable[[Job], Any]:
    def run(self: Job) -> Any:
        return function(**self.payload)

    return run


def _limit(given: RateLimit | Callable[[Job], RateLimit], job: str) -> Callable[[Job], RateLimit]:
    if callable(given):
        return _hook(given, f"job {job}: rate_limit")
    limits = parse(given, job)

    def rate_limit(_: Job) -> RateLimit:
        return limits

    return rate_limit


def _hook(given: Callable[[Job], T], what: str) -> Callable[[Job], T]:
    if not callable(given):
        raise OptionError(f"{what} is {given!r}; it must be a function of the job")
    reject_generator(given, what)

    def hook(self: Job) -> T:
        return given(self)

    return hook


def _retry(given: RetryDecision | None, what: str) -> Callable[[Job, BaseException], object] | None:
    if given is None:
        return None
    if not callable(given):
        raise OptionError(f"{what} is {given!r}; it must be a function of the job and the error")

    def retry(self: Job, error: BaseException) -> object:
        return given(self, error)

    return retry
