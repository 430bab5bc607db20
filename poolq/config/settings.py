"""The table of settings. Each entry holds all facts about one setting.

Flags, environment variables, keys in files, `poolq config show` and the tests of the documentation
are derived from `SETTINGS`. `parsers.py` parses values; `merged.py` decides where values come from
and which value wins.
"""

import os
from dataclasses import dataclass

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


# Positional, as in a table: name, default, parser, metavar, the default in the help, the help.
SETTINGS = (
    Setting("engine", "sqlite:///poolq.db", parsers.text, "URL", "sqlite:///poolq.db",
        "Where jobs are stored: a URL, or one of sqlite redis database sync null."),
    Setting("namespace", "poolq", parsers.namespace, "NAME", "poolq",
        "Separates applications on one server."),
    Setting("app", ("jobs",), parsers.modules, "MODULES", "jobs",
        "Modules and packages that define the jobs, comma-separated."),
    Setting("procs", cores, parsers.whole(1, 1024), "N", "the machine's cores",
        "Number of workers."),
    Setting("queue", None, parsers.queues, "NAMES", "every queue, in turn",
        "Queues to serve, in strict order, comma-separated."),
    Setting("sleep", 5.0, parsers.duration(0.01), "SECONDS", "5",
        "Longest time between an idle worker's checks for jobs."),
    Setting("cooldown", 0.0, parsers.duration(), "SECONDS", "0",
        "Replace a worker between two jobs if it has run for this long; 0: never."),
    Setting("max_jobs", 0, parsers.whole(0, 10**9), "N", "0",
        "Replace a worker that has run this many jobs; 0: never."),
    Setting("max_memory", 0, parsers.memory, "SIZE", "0",
        "Replace a worker between two jobs if it has grown beyond this; 0: never."),
    Setting("max_memory_hard", 0, parsers.memory, "SIZE", "0",
        "Kill a worker that exceeds this during a job, which counts as a crash; 0: never."),
    Setting("timeout", 0.0, parsers.duration(), "SECONDS", "0",
        "Kill a job that runs longer than this, unless it has its own timeout; 0: never."),
    Setting("boot_timeout", 60.0, parsers.duration(0.1), "SECONDS", "60",
        "Timeout for loading the application and for a worker to become ready."),
    Setting("max_surge", 1, parsers.whole(1, 1024), "N", "1",
        "How many workers beyond --procs a reload may start."),
    Setting("max_spawn_failures", 0, parsers.whole(0, 10**6), "N", "0",
        "End the pool when this many workers in a row have died before finishing a job; 0: never."),
    Setting("no_preload", False, parsers.switch, "", "off",
        "Import the application in each worker, without sharing a template's memory.", switch=True),
    Setting("stop_timeout", 60.0, parsers.duration(), "SECONDS", "60",
        "How long a stopping pool lets running jobs finish before it kills them."),
    Setting("prefetch", 0, parsers.whole(0, 1000), "N", "0",
        "Maximum jobs that a worker claims at once; 0: depends on how long they take."),
    Setting("until_empty", False, parsers.switch, "", "off",
        "Exit when the queues are empty.", switch=True),
    Setting("node_ttl", 30.0, parsers.duration(0.5), "SECONDS", "30",
        "Time without a heartbeat after which other pools take over a pool's jobs."),
    Setting("name", "default", parsers.label, "NAME", "the project's name",
        "The pool's name, unique per user and host."),
    Setting("no_dashboard", False, parsers.switch, "", "off",
        "Write the log to the terminal instead of showing the dashboard.", switch=True),
    Setting("no_mouse", False, parsers.switch, "", "off",
        "Leave the mouse to the terminal, instead of using it in the dashboard.", switch=True),
    Setting("log_file", STDERR, parsers.text, "PATH", STDERR,
        "The pool's log file."),
    Setting("log_format", "text", parsers.choice("text", "json"), "FORMAT", "text",
        "Format of the log: text or json."),
    Setting("metrics", parsers.OFF, parsers.address, "HOST:PORT", parsers.OFF,
        "Serve metrics for Prometheus on this address and port (needs the extra prometheus)."),
    Setting("max_payload", 1 << 20, parsers.size, "BYTES", "1M",
        "Maximum size of a job's payload at dispatch.", flag=False),
    Setting("unknown_job_for", 600.0, parsers.duration(), "SECONDS", "600",
        "How long a job that no worker knows may wait before it fails.", flag=False),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}
