"""The loop of a screen: it waits for keys, the mouse, signals, results of actions and the clock,
takes a snapshot of the pool, and draws it.

It never waits for an action, because `action_runner.py` runs actions in threads. It draws nothing
while the terminal accepts no output, so it does not wait for the terminal either. However the loop
ends, it restores the terminal.
"""

import os
import shlex
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from msgspec.structs import replace

from poolq.config import Config
from poolq.dashboard import fetching, foreground, key_bindings
from poolq.dashboard.action_runner import ActionRunner
from poolq.dashboard.actions import Actions, check_engine
from poolq.dashboard.drawing import frame, targets
from poolq.dashboard.key_parser import mouse, parse, split_incomplete
from poolq.dashboard.screen_state import FETCHES, Action, ScreenState
from poolq.dashboard.sources import Source
from poolq.dashboard.terminal import Terminal, ignore_background
from poolq.dashboard.tty_modes import Modes
from poolq.errors import PoolqError
from poolq.monitor.snapshot import Snapshot
from poolq.styling.cells import Line
from poolq.styling.theme import theme_for
from poolq.system.signal_queue import SignalQueue
from poolq.system.wakeups import readable

FRAME_INTERVAL = 0.25  # seconds between frames
SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTSTP", "SIGCONT", "SIGWINCH")


class Screen:
    """One screen in one terminal, whose `modes` are restored at the end. It ends when `alive`,
    called before each frame, returns False."""

    def __init__(
        self,
        source: Source,
        config: Config,
        state: ScreenState,
        modes: Modes | None = None,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source, self._config = source, config
        self._theme = theme_for(os.environ)
        self._terminal = Terminal(
            modes, ascii_only=self._theme.ascii_only, mouse=not config.no_mouse
        )
        self._state = state
        self._runner = ActionRunner(Actions(config, source.stack, self._broker))
        self._alive = alive
        self._signals = SignalQueue()
        # Ctrl-C and Ctrl-\ end the pool. Its own dashboard ignores them, to show how the pool ends.
        self._ending = ("SIGTERM", "SIGHUP", *(() if state.own else ("SIGINT", "SIGQUIT")))
        self._leaving = False
        self._incomplete = b""  # the beginning of an escape sequence
        self._lines: list[Line] = []  # the last frame, to find what the mouse points at
        self.last: Snapshot | None = None  # what was drawn last
        self.ended = False  # whether the pool has ended

    def _broker(self) -> str:
        """Return the URL of another pool's engine."""
        return "" if self._state.own or self.last is None else self.last.head.broker

    def run(self) -> None:
        """Run until the pool ends, the user quits, or a signal arrives."""
        self._signals.install(SIGNALS)
        ignore_background()
        try:
            self._terminal.enter()
            self._loop()
        finally:
            self._terminal.close()

    def _loop(self) -> None:
        tick = 0.0
        while not self._leaving:
            now = monotonic()
            changed = self._take_signals() | self._take_results(now)
            if now >= tick:
                tick = max(tick + FRAME_INTERVAL, now + FRAME_INTERVAL / 2)
                found = self._source.snapshot() if self._alive() else None
                if found is None:
                    self.ended = True
                    return
                failures = self._state.failures.merged(found.failures)
                self.last, changed = replace(found, failures=failures), True
                self._terminal.enter()  # the process may be in the foreground again (fg)
                self._read_log()
            self._fetch(now)
            if changed and not self._leaving:
                self._draw(now)
            self._sleep(max(0.0, tick - monotonic()))

    def _read_log(self) -> None:
        detail = self._state.detail
        if detail is not None and detail.follows is not None:
            detail.log = self._source.log(detail.follows)

    def _draw(self, now: float) -> None:
        if self.last is None or not self._terminal.foreground() or not self._terminal.ready():
            return
        size = self._terminal.size()
        self._lines = frame.draw(self.last, self._state, self._theme, size, now)
        self._terminal.show(self._lines, size)

    def _sleep(self, timeout: float) -> None:
        fds = [self._signals.fd, self._runner.fd]
        if self._terminal.foreground():
            fds.append(self._terminal.fd)
        if self._terminal.fd in readable(fds, timeout):
            data = self._terminal.keys()
            self._leaving = self._leaving or not data  # the terminal was closed
            data, self._incomplete = split_incomplete(self._incomplete + data)
            for key in parse(data):
                self._press(key)
            self._fetch(monotonic())
            if not self._leaving:
                self._draw(monotonic())

    # keys

    def _press(self, key: str) -> None:
        if self.last is None:
            return
        now = monotonic()
        target = None
        if pointed := mouse(key):
            key, column, line = pointed
            target = targets.find(self._lines, column, line)
        action = key_bindings.press(key, self._state, self.last, now, target)
        if action == key_bindings.LEAVE:
            self._leaving = True
        elif action == key_bindings.SUSPEND:
            self._suspend(group=True)
        elif action == key_bindings.REDRAW:
            self._terminal.redraw()
        elif action is not None and action.kind == "stop":
            self._runner.stop(action.target)
        elif action is not None and action.kind == "run":
            self._run(action.target, now)
        elif action is not None:
            self._submit(action, now)

    def _submit(self, action: Action, now: float) -> None:
        if not self._runner.submit(action):
            self._state.question = None  # if it waits for a count, the count will not come
            self._state.show_message("too many acts are waiting; nothing was done", now, "warning")
        elif action.kind not in (*FETCHES, "count", "retry all", "forget all"):
            self._state.show_message(f"asked to {action.kind} {action.target}".rstrip(), now)

    def _run(self, command: str, now: float) -> None:
        """Run a command of poolq in front of the screen."""
        try:
            check_engine(self._config, self._broker())
            self._terminal.leave()
            foreground.run(shlex.split(command), self._config, self._leaves)
        except (PoolqError, OSError) as error:
            self._state.show_message(str(error), now, "error")
        fetching.outdate(self._state)
        self._terminal.redraw()
        self._terminal.enter()

    def _fetch(self, now: float) -> None:
        """Fetch what the screen lacks, if nothing is being fetched."""
        action = fetching.wanted(self._state, self.last, now) if self.last else None
        if action is not None:
            self._runner.submit(action)
            self._state.fetching = action

    def _take_results(self, now: float) -> bool:
        results = self._runner.results()
        for result in results:
            fetching.take_result(result, self._state, now)
        return bool(results)

    # signals

    def _take_signals(self) -> bool:
        """Handle the queued signals. Returns True if the screen must be drawn again."""
        names = self._signals.take()
        for name in names:
            if name in self._ending:
                self._leaving = True
            elif name == "SIGTSTP":
                self._suspend(group=False)
            elif name == "SIGCONT":
                self._terminal.redraw()
                self._terminal.enter()
        return bool(names)

    def _leaves(self) -> bool:
        self._take_signals()
        return self._leaving or not self._alive()

    def _suspend(self, *, group: bool) -> None:
        """Restore the terminal, stop, and show the screen again after `fg`. If `group`, stop the
        whole process group, including the pool's master, as a terminal does for Ctrl-Z."""
        self._terminal.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        with suppress(ProcessLookupError):
            os.kill(0 if group else os.getpid(), signal.SIGTSTP)
        self._signals.install(("SIGTSTP",))
        self._terminal.redraw()
        self._terminal.enter()
