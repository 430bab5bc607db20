"""The dashboard of `poolq run`: a process beside the pool, in the terminal it was started from.

The master's process makes it and then only forks it; what draws is imported by its own process.
"""

import os
import sys
from contextlib import suppress
from dataclasses import replace

from poolq.config import Config
from poolq.config.settings import STDERR
from poolq.dashboard.terminal_modes import modes_of
from poolq.scoreboard.board import Scoreboard
from poolq.system.runtime_folder import file_name, pool_folder

DUMB = ("", "dumb", "unknown")  # terminals that cannot place their cursor


class Dashboard:
    """A `master.dashboard.Show`. Made before the pool, it keeps the terminal's modes."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._master = os.getpid()
        self._modes = modes_of(0)

    def run(self, scores: Scoreboard) -> int:
        """0 when it was told to leave, or the terminal or the pool has gone."""
        from setproctitle import setproctitle

        from poolq.control.client import Line
        from poolq.dashboard import exit_summary
        from poolq.dashboard.action_runner import Hands
        from poolq.dashboard.actions import Acts
        from poolq.dashboard.drawing.theme import look_for
        from poolq.dashboard.loop import Screen
        from poolq.dashboard.screen_state import State
        from poolq.dashboard.sources import Inherited
        from poolq.dashboard.terminal import Terminal
        from poolq.system.host import die_with_parent

        setproctitle("poolq: dashboard")
        die_with_parent()
        config, look = self._config, look_for(os.environ)
        terminal = Terminal(self._modes, ascii_only=look.ascii_only)
        source = Inherited(scores, self._master)
        hands = Hands(Acts(config, lambda: Line(config.name, os.environ), source.stack))
        screen = Screen(source, terminal, look, State(own=True), hands, self._has_master)
        screen.run()
        if self._has_master():
            last = source.look()
            ended = last is None or last.head.state == "ending"
            lines = exit_summary.summary(last or screen.last, ended=ended)
        else:
            lines = exit_summary.orphaned(screen.last)
        with suppress(OSError):  # the terminal has gone
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
    """Keys can be read, and a screen be drawn."""
    return os.isatty(0) and os.isatty(1) and os.environ.get("TERM", "") not in DUMB


def beside(config: Config) -> Config:
    """The settings of a pool that shows one: its log goes to a file, unless it does already or
    stderr is not this terminal. Raises NoPlace."""
    if config.log_file != STDERR or not os.isatty(2):
        return config
    path = pool_folder(os.environ) / f"{file_name(config.name)}.log"
    sources = {**config.sources, "log_file": "beside the dashboard"}
    return replace(config, log_file=str(path), sources=sources)
