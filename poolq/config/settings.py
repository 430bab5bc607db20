"""The table of settings, `Config`. Each field holds all facts about one setting.

Flags, environment variables, keys in files, `poolq config show` and the tests of the documentation
are derived from it. `parsers.py` parses values; `merged.py` decides where values come from
and which value wins.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from poolq.config import parsers

#: The value of `log_file` that stands for the standard error stream.
STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `default` is a value or a function that returns it. The help shows `shown`."""

    name: str
    default: object
    parse: parsers.Parser
    metavar: str
    shown: str
    help: str
    flag: bool = True
    switch: bool = False  # a flag that takes no value

    @property
    def env(self) -> str:
        """The name in the environment and in .env."""
        return f"POOLQ_{self.name.upper()}"

    @property
    def option(self) -> str:
        """The name of the flag."""
        return "--" + self.name.replace("_", "-")

    def default_value(self) -> object:
        """Return the default on this machine."""
        return self.default() if callable(self.default) else self.default


def cores() -> int:
    """Return how many processors this process may use, as limited by taskset or a cpuset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _setting(default: Any, *facts: Any, **more: bool) -> Any:
    """Return a field of Config. The arguments are the fields of Setting after `name`."""
    initial = {"default_factory": default} if callable(default) else {"default": default}
    return field(**initial, metadata={"facts": (default, *facts), "more": more})


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. Durations are in seconds, sizes in bytes; 0 means no limit. `engine` is a
    complete URL, with an absolute path for SQLite; `queue` is None for all queues; `log_file` is an
    absolute path, or "stderr"; `metrics` is host:port, or "off". `name` is the project's name
    unless a name is set. `is_project`: whether `folder` has a project file; if not, it is the
    current folder. `sources` maps each setting to the place where its value was found."""

    folder: Path
    is_project: bool = True
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    engine: str = _setting("sqlite:///poolq.db", parsers.text, "URL", "sqlite:///poolq.db",
        "Where jobs are stored: a URL, or one of sqlite redis database sync null.")
    namespace: str = _setting("poolq", parsers.namespace, "NAME", "poolq",
        "Separates applications on one server.")
    app: tuple[str, ...] = _setting(("jobs",), parsers.modules, "MODULES", "jobs",
        "Modules and packages that define the jobs, comma-separated.")
    procs: int = _setting(cores, parsers.whole(1, 1024), "N", "the machine's cores",
        "Number of workers.")
    queue: tuple[str, ...] | None = _setting(None, parsers.queues, "NAMES", "every queue, in turn",
        "Queues to serve, in strict order, comma-separated.")
    sleep: float = _setting(5.0, parsers.duration(0.01), "SECONDS", "5",
        "Longest time between an idle worker's checks for jobs.")
    cooldown: float = _setting(0.0, parsers.duration(), "SECONDS", "0",
        "Replace a worker between two jobs if it has run for this long; 0: never.")
    max_jobs: int = _setting(0, parsers.whole(0, 10**9), "N", "0",
        "Replace a worker that has run this many jobs; 0: never.")
    max_memory: int = _setting(0, parsers.memory, "SIZE", "0",
        "Replace a worker between two jobs if it has grown beyond this; 0: never.")
    max_memory_hard: int = _setting(0, parsers.memory, "SIZE", "0",
        "Kill a worker that exceeds this during a job, which counts as a crash; 0: never.")
    timeout: float = _setting(0.0, parsers.duration(), "SECONDS", "0",
        "Kill a job that runs longer than this, unless it has its own timeout; 0: never.")
    boot_timeout: float = _setting(60.0, parsers.duration(0.1), "SECONDS", "60",
        "Timeout for loading the application and for a worker to become ready.")
    max_surge: int = _setting(1, parsers.whole(1, 1024), "N", "1",
        "How many workers beyond --procs a reload may start.")
    max_spawn_failures: int = _setting(0, parsers.whole(0, 10**6), "N", "0",
        "End the pool when this many workers in a row have died before finishing a job; 0: never.")
    no_preload: bool = _setting(False, parsers.switch, "", "off",
        "Import the application in each worker, without sharing a template's memory.", switch=True)
    stop_timeout: float = _setting(60.0, parsers.duration(), "SECONDS", "60",
        "How long a stopping pool lets running jobs finish before it kills them.")
    prefetch: int = _setting(0, parsers.whole(0, 1000), "N", "0",
        "Maximum jobs that a worker claims at once; 0: depends on how long they take.")
    until_empty: bool = _setting(False, parsers.switch, "", "off",
        "Exit when the queues are empty.", switch=True)
    node_ttl: float = _setting(30.0, parsers.duration(0.5), "SECONDS", "30",
        "Time without a heartbeat after which other pools take over a pool's jobs.")
    name: str = _setting("default", parsers.label, "NAME", "the project's name",
        "The pool's name, unique per user and host.")
    no_dashboard: bool = _setting(False, parsers.switch, "", "off",
        "Write the log to the terminal instead of showing the dashboard.", switch=True)
    no_mouse: bool = _setting(False, parsers.switch, "", "off",
        "Leave the mouse to the terminal, instead of using it in the dashboard.", switch=True)
    log_file: str = _setting(STDERR, parsers.text, "PATH", STDERR,
        "The pool's log file.")
    log_format: str = _setting("text", parsers.choice("text", "json"), "FORMAT", "text",
        "Format of the log: text or json.")
    metrics: str = _setting(parsers.OFF, parsers.address, "HOST:PORT", parsers.OFF,
        "Serve metrics for Prometheus on this address and port (needs the extra prometheus).")
    max_payload: int = _setting(1 << 20, parsers.size, "BYTES", "1M",
        "Maximum size of a job's payload at dispatch.", flag=False)
    dispatch_timeout: float = _setting(10.0, parsers.duration(), "SECONDS", "10",
        "How long a dispatch tries again while the engine is away; 0: once.", flag=False)
    unknown_job_for: float = _setting(600.0, parsers.duration(), "SECONDS", "600",
        "How long a job that no worker knows may wait before it fails.", flag=False)
# fmt: on

    def has_app(self) -> bool:
        """Whether one of the modules of `app` is in `folder`."""
        paths = (self.folder.joinpath(*name.split(".")) for name in self.app)
        return any(one.is_dir() or one.with_name(f"{one.name}.py").is_file() for one in paths)


SETTINGS = tuple(
    Setting(one.name, *one.metadata["facts"], **one.metadata["more"])
    for one in fields(Config)
    if one.metadata
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
