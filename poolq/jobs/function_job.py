"""Function jobs: `@poolq.job` creates a Job class for a function, which stays callable.

The payload holds the arguments by parameter name, so a function job can have neither
positional-only parameters nor `*args`. `dispatch` checks its arguments as a call would.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
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
from poolq.jobs import periodic, schedule_plan, typed
from poolq.jobs.async_dispatch import asend
from poolq.jobs.class_checks import reject_generator
from poolq.jobs.ids import JobId
from poolq.jobs.job import Job, full_name, inline, job_name, options_of, template_of
from poolq.jobs.limits import RateLimit, parse
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS, OPTIONS, DispatchOptions, Options
from poolq.jobs.producer import send, settings
from poolq.jobs.retry_policy import RetryOn

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

Hook = Callable[[Job], object]


class FunctionOptions(DispatchOptions, total=False):
    """Keyword arguments of `@poolq.job`: those of a dispatch, and what a class would define."""

    name: str | None
    rate_limit: RateLimit | Callable[[Job], RateLimit]
    on_success: Hook | None
    on_failure: Hook | None
    on_discard: Hook | None
    on_expired: Hook | None
    retry: Callable[[Job, BaseException], Duration | Literal["discard", "fail"] | None] | None
    retry_on: RetryOn | None
    every: Duration | None


class FunctionJob(Generic[P, R_co]):
    """A function that can also be dispatched. Calling it simply calls the function.

    `job` is the Job class created for the function, `signature` the function's signature.
    `chosen`: the options that `set()` has chosen, or None for those of the class.
    """

    def __init__(
        self,
        function: Callable[P, R_co],
        made: type[Job],
        signature: inspect.Signature,
        chosen: Options | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.job = made
        self.signature = signature
        self._chosen = chosen

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function job {full_name(self.job)}>"

    @property
    def name(self) -> str:
        return job_name(self.job)

    @property
    def options(self) -> Options:
        return options_of(self.job) if self._chosen is None else self._chosen

    def bind(self, arguments: object) -> dict[str, Any]:
        """Return the payload for arguments by name. Raises TypeError, PayloadError."""
        if not isinstance(arguments, Mapping):
            raise PayloadError(f"job {self.name}: the arguments are {arguments!r}; give a dict")
        return self._payload((), arguments, self.options)

    def _payload(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options
    ) -> dict[str, Any]:
        """Return the arguments by parameter name. An omitted argument that is part of a key gets
        its default. Raises TypeError if the arguments do not fit the function."""
        parameters = self.signature.parameters
        try:
            bound = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"job {full_name(self.job)}: {error}") from None
        for parameter in parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                bound.update(bound.pop(parameter.name, {}))
        if options.unique is None and options.concurrent is None:
            return bound
        for _, field in _key_fields(options):
            if field in parameters and parameters[field].default is not inspect.Parameter.empty:
                bound.setdefault(field, parameters[field].default)
        return bound

    if not TYPE_CHECKING:

        def delay(self, *_: Any, **__: Any) -> NoReturn:
            """Explain to users of Celery what to write instead. Raises OptionError."""
            name = self.function.__name__
            raise OptionError(
                f"{name}.delay(…) does not dispatch; write {name}.dispatch(…), "
                f'and {name}.set(delay="+1 hour").dispatch(…) for later'
            )

    def set(self, **options: Unpack[DispatchOptions]) -> "FunctionJob[P, R_co]":
        """Return this job with other options, for any number of dispatches. Raises OptionError."""
        chosen = self.options.changed(options, full_name(self.job))
        return FunctionJob(self.function, self.job, self.signature, chosen)

    def dispatch(self, /, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """Store a call; return the job's id. Raises TypeError and the errors of `Job.dispatch`."""
        return send(*self._call(args, kwargs))

    async def adispatch(self, /, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """As `dispatch`, without blocking the event loop; see `Job.adispatch`."""
        return await asend(*self._call(args, kwargs))

    def _call(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[MessageTemplate, dict[str, Any]]:
        if (chosen := self._chosen) is None:
            template = template_of(self.job)
        else:
            template = MessageTemplate(job_name(self.job), chosen)
        return template, self._payload(args, kwargs, template.options)

    @overload
    def dispatch_sync(
        self: "FunctionJob[P, Coroutine[Any, Any, T]]", /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def dispatch_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def dispatch_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the call as a job in this process; see `Job.dispatch_sync`."""
        template = MessageTemplate(full_name(self.job), self.options)
        payload = self._payload(args, kwargs, template.options)
        return inline(self.job, template.push(payload, settings().max_payload).body)


@overload
def job(function: Callable[P, R], /) -> FunctionJob[P, R]: ...
@overload
def job(
    **options: Unpack[FunctionOptions],
) -> Callable[[Callable[P, R]], FunctionJob[P, R]]: ...
def job(function: Callable[..., Any] | None = None, /, **options: Unpack[FunctionOptions]) -> Any:
    """Turn a function into a job: `@poolq.job` or `@poolq.job(queue="emails", attempts=3)`.

        @poolq.job(attempts=3)
        def send_mail(to: str) -> None: ...

        send_mail.dispatch(to="bob@example.com")

    `rate_limit` is a limit, a list of limits, or a function that takes the running Job and returns
    either. Hooks are functions that take the Job (with its `payload`, `id` and `error`). `retry`
    takes the Job and an error. `every` makes the job periodic (`poolq.every`). Raises OptionError.
    """
    every = options.pop("every", None)

    def decorate(function: Callable[..., Any]) -> FunctionJob[..., Any]:
        made = _make(function, options)
        if every is not None:
            periodic.every(every, made)
        return made

    return decorate if function is None else decorate(function)


def _make(function: Callable[..., Any], given: Mapping[str, Any]) -> FunctionJob[..., Any]:
    """Create the class of a job. `given`: what was given to the decorator."""
    signature = _signature(function)
    job = given.get("name") or f"{function.__module__}:{function.__qualname__}"
    members: dict[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "run": _run(function),
    }
    for name, value in given.items():
        if name not in FunctionOptions.__annotations__:
            _unknown(name, function.__name__, job)
        if name in OPTIONS:
            members[name] = value
        elif value is not None:
            members[name] = _member(name, value, job)
    options = {name: members[name] for name in OPTIONS if name in members}
    _check_keys(signature, DEFAULTS.changed(options, job), job)
    made = FunctionJob(function, type(function.__name__, (Job,), members), signature)
    annotated = tuple(
        one.name
        for one in signature.parameters.values()
        if one.annotation not in (one.empty, Any) and one.kind is not one.VAR_KEYWORD
    )
    if annotated:  # which say what the arguments become in JSON
        typed.note(typed.Shape(full_name(made.job), function, annotated))
    return made


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


def _unknown(option: str, function: str, job: str) -> NoReturn:
    """Raise the error of an option that the decorator does not have."""
    if option in schedule_plan.OPTIONS:
        raise OptionError(
            f"job {job}: {option} is an option of its schedule; leave out every, and write "
            f"poolq.every(…, {function}, {option}=…) below the function"
        )
    known = tuple(FunctionOptions.__annotations__)
    all_of_them = f"the options are {', '.join(known)}; data belongs in the payload"
    raise OptionError(
        f"job {job}: unknown option {option}; {suggestion(option, known, all_of_them)}"
    )


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


def _member(name: str, given: Any, job: str) -> Any:
    """Return the class attribute for a decorator argument that is not an option."""
    if name in ("name", "retry_on"):
        return given
    if name == "rate_limit" and not callable(given):
        limits = parse(given, job)
        return lambda _: limits
    what = f"job {job}: {name}"
    if not callable(given):
        of = "the job and the error" if name == "retry" else "the job"
        raise OptionError(f"{what} is {given!r}; it must be a function of {of}")
    reject_generator(given, what)

    def method(self: Job, *arguments: object) -> Any:
        return given(self, *arguments)

    return method
