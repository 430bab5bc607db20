"""Parses sqlite:// URLs, which name a file and how its commits reach the disk."""

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from poolq.errors import ConfigError

SYNCHRONOUS = ("NORMAL", "FULL", "EXTRA", "OFF")


class SQLiteOptions(NamedTuple):
    """`synchronous`: commits always survive the death of a process. With NORMAL, a power cut may
    lose the last ones; with OFF, it may corrupt the file. With FULL, commits wait for the disk."""

    file: Path
    synchronous: str = "NORMAL"


def parse_url(url: str) -> SQLiteOptions:
    """Parse a URL. Raises ConfigError."""
    location, _, query = url.partition("://")[2].partition("?")
    file = unquote(location.removeprefix("/"))
    if not file or file.endswith("/"):
        raise ConfigError(f"{url!r} names no file; use sqlite:///poolq.db")
    found = SQLiteOptions(Path(os.path.abspath(file)))  # noqa: PTH100  # resolve() would follow links
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "synchronous":
            raise ConfigError(f"{url!r}: unknown option {name!r}; use synchronous")
        if value.upper() not in SYNCHRONOUS:
            raise ConfigError(
                f"{url!r}: synchronous is {value!r}; it is one of {', '.join(SYNCHRONOUS)}"
            )
        found = found._replace(synchronous=value.upper())
    return found
