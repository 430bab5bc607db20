"""Parses sqlite:// URLs, which name a file and how its commits reach the disk."""

import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from poolq.engines.url_options import one_of, read_options
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
    options = read_options(repr(url), query, {"synchronous": _synchronous})
    return SQLiteOptions(Path(os.path.abspath(file)), **options)  # noqa: PTH100  # resolve() would follow links


def _synchronous(name: str, value: str) -> dict[str, Any]:
    return one_of(*SYNCHRONOUS)(name, value.upper())
