"""The table of settings: one row each, and everything about it.

Flags, environment names, keys in files, `poolq config show` and the documentation's tests are
derived from `SETTINGS`; nobody else lists settings. A row's parser takes text (a flag, the
environment) as well as TOML's own types, and raises ValueError whose text goes on from
"<source> is <value>; it …". Where values come from and which one wins is `config.py`'s business.
"""

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from poolq.durations import micros
from poolq.errors import DurationError, OptionError
from poolq.options import name as queue_name

Parser = Callable[[object], object]

LONGEST = 366 * 86400.0  # seconds; a longer one is a slip of the unit
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
YES = ("1", "true", "yes", "on")
NO = ("0", "false", "no", "off")
_SIZE = re.compile(r"(\d{1,15}) ?([KMG]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `default` may be a function of the machine; `shown` is how help spells it."""

    name: str
    default: object
    parse: Parser
    help: str
    metavar: str
    shown: str
    flag: bool = True
    switch: bool = False  # a flag that takes no value

    @property
    def env(self) -> str:
        """Its name in the environment and in .env."""
        return f"POOLQ_{self.name.upper()}"

    @property
    def option(self) -> str:
        """Its flag's name."""
        return "--" + self.name.replace("_", "-")

    def fallback(self) -> object:
        """The default's value on this machine."""
        return self.default() if callable(self.default) else self.default


def cores() -> int:
    """The processors this process may use (a container's or taskset's share counts)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def text(value: object) -> str:
    """Any text that is not empty; the engine's URL is checked by `urls.py`."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value.strip()


def label(value: object) -> str:
    """A name for people: in process titles, logs and listings."""
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value.strip()) <= 64:
        raise ValueError("must be 1 to 64 printable characters")
    return value.strip()


def namespace(value: object) -> str:
    """Begins keys and table names, so it is kept to what every engine allows there."""
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value):
        raise ValueError("must be a small letter, then up to 31 small letters, digits or _")
    return value


def whole(least: int, most: int) -> Parser:
    """Whole numbers from `least` to `most`."""

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value.strip(), re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return parse


def duration(least: float = 0.0) -> Parser:
    """Seconds: a number, or a text such as "30s" or "1 hour"; at least `least` of them."""

    def parse(value: object) -> float:
        try:
            seconds = _seconds(value)
        except DurationError as error:
            raise ValueError(f'must be seconds or a text such as "1h" ({error})') from None
        if not math.isfinite(seconds) or not least <= seconds <= LONGEST:
            raise ValueError(f"must be from {least:g} seconds to a year")
        return seconds

    return parse


def _seconds(value: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return micros(value, "the duration") / 1_000_000


def size(value: object) -> int:
    """Bytes: a whole number, or a text such as "512K" or "1M"; up to 512 MiB."""
    found = value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        found = int(match[1]) * SIZES[match[2].upper()]
    if isinstance(found, bool) or not isinstance(found, int) or not 2 <= found <= 512 << 20:
        raise ValueError('must be bytes, or a text such as "512K" or "1M", up to 512M')
    return found


def memory(value: object) -> int:
    """Bytes, as `size`, but up to 1 TiB; 0: no limit. Less than 16 MiB holds no Python."""
    found = value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        found = int(match[1]) * SIZES[match[2].upper()]
    fits = isinstance(found, int) and (found == 0 or 16 << 20 <= found <= 1 << 40)
    if isinstance(found, bool) or not isinstance(found, int) or not fits:
        raise ValueError('must be a size of 16M or more, such as "256M" or "1G", or 0 for no limit')
    return found


def switch(value: object) -> bool:
    """On or off."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in (*YES, *NO):
        raise ValueError("must be one of true, false, 1, 0, yes, no, on, off")
    return word in YES


def names(value: object) -> tuple[str, ...]:
    """Names, as a list or separated by commas; each once, in the order given."""
    parts: Sequence[object]
    if isinstance(value, str):
        parts = value.split(",")
    elif isinstance(value, (list, tuple)):
        parts = value
    else:
        raise ValueError("must be names separated by commas, or a list of them")  # noqa: TRY004  # as all parsers
    found = [part.strip() if isinstance(part, str) else "" for part in parts]
    if not found or not all(name and name.isprintable() for name in found):
        raise ValueError("must be names separated by commas, none of them empty")
    return tuple(dict.fromkeys(found))


def queues(value: object) -> tuple[str, ...]:
    """Names of queues, as `names`, each one that a job's `queue` may be."""
    found = names(value)
    for name in found:
        try:
            queue_name(name, "a queue's name")
        except OptionError as error:
            raise ValueError(f"must be names separated by commas; {error}") from None
    return found


def modules(value: object) -> tuple[str, ...]:
    """Names of modules, as `names`."""
    found = names(value)
    for name in found:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(
                f"must name modules such as jobs or shop.jobs; {name!r} is no such name"
            )
    return found


SETTINGS = (
    Setting(
        "engine", "sqlite:///poolq.db", text,
        "Where the jobs live: a URL, or one of sqlite redis database sync null.",
        "URL", "sqlite:///poolq.db",
    ),
    Setting(
        "namespace", "poolq", namespace,
        "Keeps applications on one server apart.",
        "NAME", "poolq",
    ),
    Setting(
        "app", ("jobs",), modules,
        "Modules and packages that define the jobs, separated by commas.",
        "MODULES", "jobs",
    ),
    Setting(
        "procs", cores, whole(1, 1024),
        "Number of workers.",
        "N", "the machine's cores",
    ),
    Setting(
        "queue", None, queues,
        "Queues to serve, in strict order, separated by commas.",
        "NAMES", "every queue, in turn",
    ),
    Setting(
        "sleep", 5.0, duration(0.01),
        "Longest pause of an idle worker before it looks for jobs by itself.",
        "SECONDS", "5",
    ),
    Setting(
        "cooldown", 0.0, duration(),
        "Replace a worker when it has run for this long, between two jobs; 0: never.",
        "SECONDS", "0",
    ),
    Setting(
        "max_jobs", 0, whole(0, 10**9),
        "Replace a worker when it has run this many jobs; 0: never.",
        "N", "0",
    ),
    Setting(
        "max_memory", 0, memory,
        "Replace a worker that has grown beyond this, between two jobs; 0: never.",
        "SIZE", "0",
    ),
    Setting(
        "max_memory_hard", 0, memory,
        "Kill a worker beyond this in the middle of a job, which counts as its crash; 0: never.",
        "SIZE", "0",
    ),
    Setting(
        "timeout", 0.0, duration(),
        "Kill a job that runs for longer, unless it has a timeout of its own; 0: never.",
        "SECONDS", "0",
    ),
    Setting(
        "boot_timeout", 60.0, duration(0.1),
        "How long the application may take to load and a worker to get ready.",
        "SECONDS", "60",
    ),
    Setting(
        "max_surge", 1, whole(1, 1024),
        "How many more workers than --procs there may be in a reload.",
        "N", "1",
    ),
    Setting(
        "max_spawn_failures", 0, whole(0, 10**6),
        "End the pool after so many workers in a row that died before a job was done; 0: never.",
        "N", "0",
    ),
    Setting(
        "no_preload", False, switch,
        "Let each worker import the application by itself instead of sharing a template's memory.",
        "", "off", switch=True,
    ),
    Setting(
        "stop_timeout", 60.0, duration(),
        "How long a stopping pool lets running jobs finish before it kills them.",
        "SECONDS", "60",
    ),
    Setting(
        "prefetch", 0, whole(0, 1000),
        "Most jobs that a worker claims at once; 0: by how long they take.",
        "N", "0",
    ),
    Setting(
        "until_empty", False, switch,
        "Leave when the queues hold nothing more.",
        "", "off", switch=True,
    ),
    Setting(
        "node_ttl", 30.0, duration(0.5),
        "Silence after which another pool takes over a pool's jobs.",
        "SECONDS", "30",
    ),
    Setting(
        "name", "default", label,
        "A label for this pool, for people.",
        "NAME", "default",
    ),
    Setting(
        "max_payload", 1 << 20, size,
        "Largest payload of a job that may be dispatched.",
        "BYTES", "1M", flag=False,
    ),
    Setting(
        "unknown_job_for", 600.0, duration(),
        "How long a job that no worker knows is put back before it is buried.",
        "SECONDS", "600", flag=False,
    ),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}
