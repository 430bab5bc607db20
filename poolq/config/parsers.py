"""Parsers for the values of settings, one for each kind of value.

A parser takes text (from a flag or the environment) or a TOML value. It raises ValueError, whose
text continues the sentence "<source> is <value>; it …".
"""

import re
from collections.abc import Callable, Sequence

from poolq.common.durations import SECOND, micros
from poolq.common.names import check_name
from poolq.errors import DurationError, OptionError

Parser = Callable[[object], object]

MAX_SECONDS = 366 * 86400.0  # a year; a longer duration is probably a mistake in the unit
SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
OFF = "off"
TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off")
_SIZE = re.compile(r"(\d{1,15}) ?([KMG]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})", re.ASCII)
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


def text(value: object) -> str:
    """Parse any text that is not empty. `engine_urls.py` checks engine URLs later."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    if "\0" in value:
        raise ValueError("must be a text without NUL")
    return value.strip()


def label(value: object) -> str:
    """Parse a name for display in process titles, logs and listings."""
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value.strip()) <= 64:
        raise ValueError("must be 1 to 64 printable characters")
    return value.strip()


def address(value: object) -> str:
    """Parse a host and a port, such as 127.0.0.1:9200, [::1]:9200 or localhost:9200; or OFF."""
    if value == OFF:
        return OFF
    found = _ADDRESS.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or not 1 <= int(found[2]) <= 65535:
        raise ValueError("must be an address and a port from 1 to 65535, such as 127.0.0.1:9200")
    return found[0]


def namespace(value: object) -> str:
    """Parse a prefix of keys and table names. Every engine allows the characters in it."""
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value):
        raise ValueError("must be a lowercase letter, then up to 31 lowercase letters, digits or _")
    return value


def whole(least: int, most: int) -> Parser:
    """Return a parser for whole numbers from `least` to `most`."""

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value.strip(), re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return parse


def duration(least: float = 0.0) -> Parser:
    """Return a parser for a duration of at least `least` seconds: a number, or text ("30s")."""

    def parse(value: object) -> float:
        try:
            seconds = micros(value, "the duration") / SECOND
        except DurationError as error:
            raise ValueError(f'must be seconds or a text such as "1h" ({error})') from None
        if not least <= seconds <= MAX_SECONDS:
            raise ValueError(f"must be from {least:g} seconds to a year")
        return seconds

    return parse


def size(value: object) -> int:
    """Parse a number of bytes, or text such as "512K" or "1M", up to 512 MiB."""
    found = _bytes(value)
    if not 2 <= found <= 512 << 20:
        raise ValueError('must be bytes, or a text such as "512K" or "1M", up to 512M')
    return found


def memory(value: object) -> int:
    """Parse a limit in bytes: 0 for no limit, or 16 MiB, which Python itself needs, to 1 TiB."""
    found = _bytes(value)
    if found != 0 and not 16 << 20 <= found <= 1 << 40:
        raise ValueError('must be a size of 16M or more, such as "256M" or "1G", or 0 for no limit')
    return found


def _bytes(value: object) -> int:
    """Return a size in bytes, or -1 for a value that is no size."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * SIZE_UNITS[match[2].upper()]
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def switch(value: object) -> bool:
    """Parse a boolean, or one of the words in TRUE_WORDS and FALSE_WORDS."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in (*TRUE_WORDS, *FALSE_WORDS):
        raise ValueError("must be one of true, false, 1, 0, yes, no, on, off")
    return word in TRUE_WORDS


def choice(*words: str) -> Parser:
    """Return a parser for one of these words."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value.strip().lower()

    return parse


def names(value: object) -> tuple[str, ...]:
    """Parse names in a list or separated by commas. Keeps their order and drops duplicates."""
    parts: Sequence[object]
    if isinstance(value, str):
        parts = value.split(",")
    elif isinstance(value, (list, tuple)):
        parts = value
    else:
        raise ValueError("must be names separated by commas, or a list of them")  # noqa: TRY004  # as parsers do
    found = [part.strip() if isinstance(part, str) else "" for part in parts]
    if not found or not all(name and name.isprintable() for name in found):
        raise ValueError("must be names separated by commas, none of them empty")
    return tuple(dict.fromkeys(found))


def queues(value: object) -> tuple[str, ...]:
    """Parse names of queues, like `names`. Each must be valid as a job's `queue`."""
    found = names(value)
    for name in found:
        try:
            check_name(name, "a queue's name")
        except OptionError as error:
            raise ValueError(f"must be names separated by commas; {error}") from None
    return found


def modules(value: object) -> tuple[str, ...]:
    """Parse names of modules, like `names`."""
    found = names(value)
    for name in found:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"must name modules such as shop.jobs; {name!r} is not such a name")
    return found
