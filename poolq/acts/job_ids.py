"""Finds the jobs that a person names. The beginning of an id is enough if it is unique."""

from poolq.engines.base import Engine
from poolq.errors import NotFound, OptionError

ID_LENGTH = 32  # characters of an id that dispatch() has made
MIN_LENGTH = 4  # characters that the beginning of an id must have
MAX_CANDIDATES = 10


def resolve(engine: Engine, text: str) -> str:
    """Return the id of the stored job whose id begins with `text`. Return `text` if no id does, or
    if `text` is a whole id. Raises NotFound if several ids begin with `text`, and OptionError if it
    is too short."""
    if len(text) >= ID_LENGTH:
        return text
    if len(text) < MIN_LENGTH:
        if engine.find(text) is None:
            raise OptionError(
                f"{text!r} is too short for an id; give at least {MIN_LENGTH} characters"
            )
        return text
    found = engine.ids(text, MAX_CANDIDATES)
    if len(found) <= 1 or text in found:
        return found[0] if len(found) == 1 else text
    most = "at least " if len(found) == MAX_CANDIDATES else ""
    raise NotFound(
        f"the ids of {most}{len(found)} jobs begin with {text!r}; give more characters:"
        f" {', '.join(found)}"
    )
