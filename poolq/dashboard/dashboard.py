"""The dashboard of `poolq run`: a process of the pool that has the terminal.

The master creates the object and forks; only the forked process imports the code that draws.
"""

import os
import sys
from contextlib import suppress
from dataclasses import replace

from poolq.config import Config
from poolq.config.settings import STDERR
from poolq.dashboard.tty_modes import modes_of
from poolq.scoreboard.board import Scoreboard
from poolq.system.runtime_folder import file_name, pool_folder

DUMB = ("", "dumb", "unknown")  # terminals whose cursor cannot be moved


class Dashboard:
    """A `master.dashboard.DashboardProgram`. It keeps the modes that the terminal had before."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._master = os.getpid()
        self._modes = modes_of(0)

    def run(self, scores: Scoreboard) -> int:
        """Show the screen until it is stopped, the terminal closes or the pool ends. Returns 0."""
        from setproctitle import setproctitle

        from poolq.dashboard import exit_summary
        from poolq.dashboard.loop import Screen
        from poolq.dashboard.screen_state import ScreenState
        from poolq.dashboard.sources import Source
        from poolq.system.host import die_with_parent

        setproctitle("poolq: dashboard")
        die_with_parent()
        source, state = Source(scores, self._master), ScreenState(own=True)
        screen = Screen(source, self._config, state, self._modes, alive=self._has_master)
        screen.run()
        if self._has_master():
            last = source.snapshot()
            ended = last is None or last.head.state == "ending"
            lines = exit_summary.summary(last or screen.last, ended=ended)
        else:
            lines = exit_summary.orphaned(screen.last)
        with suppress(OSError):  # the terminal was closed
            sys.stdout.write("".join(f"poolq: {line}\n" for line in lines))
            sys.stdout.flush()
        return 0

    def restore(self) -> int:
        from poolq.dashboard.terminal import restore

        restore(self._modes)
        return 0

    def _has_master(self) -> bool:
        return os.getppid() == self._master


def has_terminal() -> bool:
    """Return whether keys can be read and a screen can be drawn."""
    return os.isatty(0) and os.isatty(1) and os.environ.get("TERM", "") not in DUMB


def with_log_file(config: Config) -> Config:
    """Return the settings. If the log goes to the dashboard's terminal, the returned settings send
    the log to a file in the pool's folder. Raises PoolStartError."""
    if config.log_file != STDERR or not os.isatty(2):
        return config
    path = pool_folder(os.environ) / f"{file_name(config.name)}.log"
    sources = {**config.sources, "log_file": "beside the dashboard"}
    return replace(config, log_file=str(path), sources=sources)
