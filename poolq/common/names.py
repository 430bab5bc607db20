"""The names of queues and jobs: what they may contain, and how long they may be."""

from poolq.errors import OptionError

LONGEST_NAME = 128  # bytes of a queue's name in UTF-8
LONGEST_JOB_NAME = 255  # bytes of a job's name


def check_name(value: object, what: str, longest: int = LONGEST_NAME) -> str:
    """Check the name of a queue or a job: at most `longest` bytes of text without spaces, commas or
    control characters. Raises OptionError, which begins with `what`."""
    if not isinstance(value, str):
        raise OptionError(f"{what} is {value!r}; it must be text")
    if not value:
        raise OptionError(f"{what} is empty; give it a name")
    if not value.isprintable() or " " in value or "," in value:
        raise OptionError(
            f"{what} is {value!r}; it must have no spaces, commas or control characters"
        )
    if len(value.encode()) > longest:
        raise OptionError(f"{what} is {value[:40]!r}…; at most {longest} bytes are allowed")
    return str(value)
