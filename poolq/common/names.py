"""Checks names of queues and jobs, and suggests known names for misspelled ones."""

from collections.abc import Iterable

from poolq.common.escaping import shown
from poolq.common.lengths import MAX_QUEUE_NAME_BYTES
from poolq.errors import OptionError


def check_name(value: object, what: str, longest: int = MAX_QUEUE_NAME_BYTES) -> str:
    """Check the name of a queue or a job: at most `longest` bytes of text without spaces, commas or
    control characters. Raises OptionError, whose message begins with `what`."""
    if not isinstance(value, str):
        raise OptionError(f"{what} is {shown(value)}; it must be text")
    if not value:
        raise OptionError(f"{what} is empty; give it a name")
    if not value.isprintable() or " " in value or "," in value:
        raise OptionError(
            f"{what} is {shown(value)}; it must have no spaces, commas or control characters"
        )
    if len(value.encode()) > longest:
        raise OptionError(f"{what} is {value[:40]!r}…; at most {longest} bytes are allowed")
    return str(value)


def is_named(name: str, given: str) -> bool:
    """Return whether a job's name is the given one, which may lack its module: Send for
    jobs:Send."""
    return name == given or name.endswith(f":{given}")


def closest(given: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known name that is most similar to a misspelled one, or ""."""
    import difflib  # imported here, since only errors need it

    return next(iter(difflib.get_close_matches(given, list(known), 1, cutoff)), "")


def suggestion(given: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the end of an error about an unknown name: the closest known one, or `otherwise`."""
    near = closest(given, known)
    return f"did you mean {near}?" if near else otherwise


def path_of(index: int) -> str:
    """Return what errors call a payload. `index`: its position among several, or -1 if alone."""
    return "payload" if index < 0 else f"payloads[{index}]"
