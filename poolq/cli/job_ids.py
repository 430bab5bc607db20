"""Finds the jobs that a person names. The beginning of an id is enough if it is unique."""

from collections.abc import Sequence

import click

from poolq.engines.base import Engine
from poolq.errors import NotFound

ID_LENGTH = 32
MIN_LENGTH = 4
MAX_CANDIDATES = 10


def resolve(engine: Engine, given: Sequence[str]) -> list[str]:
    """Return the ids of the jobs, each once. A text with which no stored job's id begins is
    returned as it is. Raises NotFound if more than one id begins with a text, and UsageError if a
    text is too short."""
    return list(dict.fromkeys(resolve_one(engine, text.strip()) for text in given))


def resolve_one(engine: Engine, text: str) -> str:
    """Like `resolve`, for one job."""
    if len(text) >= ID_LENGTH:
        return text
    if len(text) < MIN_LENGTH:
        if engine.find(text) is None:
            raise click.UsageError(f"{text!r} is too short for an id; give at least 4 characters")
        return text
    found = engine.ids(text, MAX_CANDIDATES)
    if len(found) <= 1 or text in found:
        return found[0] if len(found) == 1 else text
    most = "at least " if len(found) == MAX_CANDIDATES else ""
    raise NotFound(
        f"the ids of {most}{len(found)} jobs begin with {text!r}; give more characters:"
        f" {', '.join(found)}"
    )
