"""What is wrong with a job's class, said when the class is made."""

import difflib
import inspect
import re
from collections.abc import Callable, Sequence

from poolq.errors import OptionError

METHODS = ("run", "rate_limit", "on_success", "on_failure")
#: What other libraries call an option of ours, in snake case.
ELSEWHERE = {"max_attempts": "attempts", "tries": "attempts", "max_retries": "attempts"}


def check_class(cls: type, job: str) -> None:
    """Refuse what could not run as a job. Raises OptionError naming the job."""
    _constructor(cls, job)
    for method in METHODS:
        made = getattr(cls, method)
        if not callable(made):
            raise OptionError(f"job {job}: {method} is {made!r}; it must be a method")
        check_body(made, f"job {job}: {method}()")
        if method == "rate_limit" and inspect.iscoroutinefunction(made):
            raise OptionError(f"job {job}: rate_limit() is async; it must be a plain method")


def misspelled(cls: type, options: Sequence[str]) -> list[tuple[str, str]]:
    """Attributes that look like one of `options`, or like a hook, and what they look like: no more
    than that can be known, as a job's class may have attributes of its own."""
    found = []
    known = (*options, *METHODS[1:])
    for given in cls.__dict__:
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", given).lower()
        near = [ELSEWHERE[snake]] if snake in ELSEWHERE else []
        near = near or difflib.get_close_matches(snake, known, 1, 0.85)
        if near and given not in known:
            found.append((given, near[0]))
    return found


def check_body(function: Callable[..., object], what: str) -> None:
    """A generator's body would never run."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise OptionError(f"{what} has a yield, so that its body would never run; return instead")


def _constructor(cls: type, job: str) -> None:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.default is parameter.empty and parameter.kind not in variadic
    ]
    if needed:
        raise OptionError(
            f"job {job}: __init__ needs {', '.join(needed)}; a job is built without arguments, "
            "its data comes in the payload"
        )
