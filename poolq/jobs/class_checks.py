"""Checks a job's class, when it is defined, for mistakes that would prevent it from running."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from poolq.common.escaping import shown
from poolq.common.names import closest
from poolq.errors import OptionError
from poolq.jobs.limits import Concurrent
from poolq.jobs.unique import Unique

METHODS = ("run", "rate_limit", "retry", "on_success", "on_failure", "on_discard", "on_expired")
#: Methods whose results poolq uses, so they cannot be coroutines.
PLAIN_METHODS = ("rate_limit", "retry")
#: What other libraries call poolq's options, in snake case.
FOREIGN_OPTIONS = {
    "max_attempts": "attempts", "tries": "attempts", "max_retries": "attempts",
    "unique_by": "unique", "unique_for": "unique", "concurrency": "concurrent",
    "every": "poolq.every(…)", "overlap": "poolq.every(…, overlap=…)",
    "catch_up": "poolq.every(…, catch_up=…)",
}  # fmt: skip

#: Options, each with the class of its values. No other attribute should have such a value.
KINDS: Mapping[str, type] = {"unique": Unique, "concurrent": Concurrent}


def check_class(cls: type, job: str) -> None:
    """Reject a class that could not run as a job. Raises OptionError, which names the job."""
    _constructor(cls, job)
    for method in METHODS:
        made = getattr(cls, method)
        if not callable(made):
            raise OptionError(f"job {job}: {method} is {made!r}; it must be a method")
        reject_generator(made, f"job {job}: {method}()")
        if method in PLAIN_METHODS and inspect.iscoroutinefunction(made):
            raise OptionError(f"job {job}: {method}() is async; it must be a plain method")
    _retry(cls, job)
    _options_by_other_names(cls, job)


def misspelled(cls: type, options: Sequence[str]) -> list[tuple[str, str]]:
    """Return attributes that resemble an option or a hook, each with the name that it resembles.
    They may still be correct, since a class may have attributes of its own."""
    found = []
    known = (*options, *METHODS[1:])
    for given in cls.__dict__:
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", given).lower()
        near = closest(snake, (*known, *FOREIGN_OPTIONS), 0.85)
        if near and given not in known:
            found.append((given, FOREIGN_OPTIONS.get(near, near)))
    return found


def reject_generator(function: Callable[..., object], what: str) -> None:
    """Reject a generator function, whose body a call would not run. Raises OptionError."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise OptionError(f"{what} has a yield, so its body would never run; return instead")


def _retry(cls: type, job: str) -> None:
    """Reject a `retry()` that does not take an error. The class may have had such a method before
    poolq began to call methods of this name."""
    made = cls.__dict__.get("retry")
    if not inspect.isfunction(made):
        return
    try:
        inspect.signature(made, follow_wrapped=False).bind(cls, None)
    except TypeError:
        raise OptionError(
            f"job {job}: retry() is called with the error that run() raised; "
            "write def retry(self, error), or give your method another name"
        ) from None


def _options_by_other_names(cls: type, job: str) -> None:
    """Reject attributes that can only be meant as an option, but have another name. A `Concurrent`
    is accepted if the class has a `rate_limit()` that may return it."""
    returned = sum("rate_limit" in vars(one) for one in cls.__mro__) > 1  # Job has one, too
    for given, value in vars(cls).items():
        option = next((name for name, kind in KINDS.items() if isinstance(value, kind)), given)
        if option != given and not (option == "concurrent" and returned and not value.by):
            raise OptionError(
                f"job {job}: {given} is {shown(value)}, but no option has this name; call it "
                f"{option}"
            )
    when = vars(cls).get("every")
    if isinstance(when, (str, timedelta)):
        raise OptionError(
            f"job {job}: every is {shown(when)}, but it is no attribute of a class; below the "
            f"class, write poolq.every({shown(when)}, {cls.__name__})"
        )


def _constructor(cls: type, job: str) -> None:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.default is parameter.empty and parameter.kind not in variadic
    ]
    if needed:
        raise OptionError(
            f"job {job}: __init__ needs {', '.join(needed)}; a job is created without arguments; "
            "its data comes in the payload"
        )
