"""The table of settings: one entry for each, with everything about it.

Flags, environment variables, keys in files, `poolq config show` and the tests of the documentation
are derived from `SETTINGS`. Values are parsed by `parsers.py`; `merged.py` decides where they come
from and which one wins.
"""

import os
from dataclasses import dataclass

from poolq.config.parsers import (
    OFF,
    Parser,
    address,
    choice,
    duration,
    label,
    memory,
    modules,
    namespace,
    queues,
    size,
    switch,
    text,
    whole,
)

#: The value of `log_file` that stands for the standard error stream.
STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `default` is a value, or a function that computes one; `shown` is its text in
    the help."""

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
        """The name in the environment and in .env."""
        return f"POOLQ_{self.name.upper()}"

    @property
    def option(self) -> str:
        """The name of the flag."""
        return "--" + self.name.replace("_", "-")

    def default_value(self) -> object:
        """The value of the default on this machine."""
        return self.default() if callable(self.default) else self.default


def cores() -> int:
    """The number of processors that this process may use, as limited by taskset or a cpuset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# Positional, so that the table can be read line by line: name, default and parser; help; metavar
# and the default as the help shows it.
SETTINGS = (
    Setting(
        "engine", "sqlite:///poolq.db", text,
        "Where jobs are stored: a URL, or one of sqlite redis database sync null.",
        "URL", "sqlite:///poolq.db",
    ),
    Setting(
        "namespace", "poolq", namespace,
        "Separates applications on one server.",
        "NAME", "poolq",
    ),
    Setting(
        "app", ("jobs",), modules,
        "Modules and packages that define the jobs, comma-separated.",
        "MODULES", "jobs",
    ),
    Setting(
        "procs", cores, whole(1, 1024),
        "Number of workers.",
        "N", "the machine's cores",
    ),
    Setting(
        "queue", None, queues,
        "Queues to serve, in strict order, comma-separated.",
        "NAMES", "every queue, in turn",
    ),
    Setting(
        "sleep", 5.0, duration(0.01),
        "Longest time between an idle worker's checks for jobs.",
        "SECONDS", "5",
    ),
    Setting(
        "cooldown", 0.0, duration(),
        "Replace a worker that has run for this long, between two jobs; 0: never.",
        "SECONDS", "0",
    ),
    Setting(
        "max_jobs", 0, whole(0, 10**9),
        "Replace a worker that has run this many jobs; 0: never.",
        "N", "0",
    ),
    Setting(
        "max_memory", 0, memory,
        "Replace a worker that has grown beyond this, between two jobs; 0: never.",
        "SIZE", "0",
    ),
    Setting(
        "max_memory_hard", 0, memory,
        "Kill a worker that exceeds this during a job, which is charged a crash; 0: never.",
        "SIZE", "0",
    ),
    Setting(
        "timeout", 0.0, duration(),
        "Kill a job that runs longer, unless it has its own timeout; 0: never.",
        "SECONDS", "0",
    ),
    Setting(
        "boot_timeout", 60.0, duration(0.1),
        "How long the application may take to load and a worker to become ready.",
        "SECONDS", "60",
    ),
    Setting(
        "max_surge", 1, whole(1, 1024),
        "How many workers beyond --procs a reload may start.",
        "N", "1",
    ),
    Setting(
        "max_spawn_failures", 0, whole(0, 10**6),
        "End the pool after this many workers in a row died before finishing a job; 0: never.",
        "N", "0",
    ),
    Setting(
        "no_preload", False, switch,
        "Make each worker import the application instead of sharing a template's memory.",
        "", "off", switch=True,
    ),
    Setting(
        "stop_timeout", 60.0, duration(),
        "How long a stopping pool lets running jobs finish before it kills them.",
        "SECONDS", "60",
    ),
    Setting(
        "prefetch", 0, whole(0, 1000),
        "Maximum jobs that a worker claims at once; 0: depends on how long they take.",
        "N", "0",
    ),
    Setting(
        "until_empty", False, switch,
        "Exit when the queues are empty.",
        "", "off", switch=True,
    ),
    Setting(
        "node_ttl", 30.0, duration(0.5),
        "Time without a heartbeat after which other pools take over a pool's jobs.",
        "SECONDS", "30",
    ),
    Setting(
        "name", "default", label,
        "The pool's name, unique per user and host.",
        "NAME", "default",
    ),
    Setting(
        "no_dashboard", False, switch,
        "Write the log to the terminal instead of showing the dashboard.",
        "", "off", switch=True,
    ),
    Setting(
        "log_file", STDERR, text,
        "The pool's log file.",
        "PATH", STDERR,
    ),
    Setting(
        "log_format", "text", choice("text", "json"),
        "Format of the log: text or json.",
        "FORMAT", "text",
    ),
    Setting(
        "metrics", OFF, address,
        "Serve metrics for Prometheus on this address and port (needs the extra prometheus).",
        "HOST:PORT", OFF,
    ),
    Setting(
        "max_payload", 1 << 20, size,
        "Maximum size of a job's payload at dispatch.",
        "BYTES", "1M", flag=False,
    ),
    Setting(
        "unknown_job_for", 600.0, duration(),
        "How long a job that no worker knows is released before it is buried.",
        "SECONDS", "600", flag=False,
    ),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}
