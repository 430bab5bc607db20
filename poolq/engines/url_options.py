"""Reads the options in the query of an engine's URL."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from poolq.common.names import closest
from poolq.errors import ConfigError

#: Returns what an option with this name and value stands for. Raises ValueError, whose text says
#: what "it", the option, must be.
Reader = Callable[[str, str], dict[str, Any]]


def read_options(
    shown: str, query: str, readers: Mapping[str, Reader], others: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what all options stand for. `shown`: the URL without its password. `others`: those of
    the client library, and why they are refused, or "" if they are taken. Raises ConfigError."""
    found: dict[str, Any] = {}
    of_library = others or {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if of_library.get(name):
            raise ConfigError(f"{shown}: option {name} {of_library[name]}; leave it out")
        if name not in readers and name not in of_library:
            near = closest(name, [*readers, *of_library])
            meant = f" (did you mean {near}?)" if near else ""
            known = ", ".join(readers)
            raise ConfigError(f"{shown}: unknown option {name!r}{meant}; use {known}")
        try:
            found |= readers.get(name, text)(name, value)
        except ValueError as error:
            raise ConfigError(f"{shown}: option {name} is {value!r}; it {error}") from None
    return found


def text(name: str, value: str) -> dict[str, Any]:
    if not value:
        raise ValueError("must not be empty")
    return {name: value}


def one_of(*words: str, why: str = "") -> Reader:
    def read(name: str, value: str) -> dict[str, Any]:
        if value not in words:
            raise ValueError(f"is one of {', '.join(words)}{why}")
        return {name: value}

    return read
