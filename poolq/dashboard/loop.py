"""The loop of a screen: it waits for keys, signals, acts and the clock, looks at the pool, draws.

It never waits for anything else: acts are done by `action_runner.py`, and a terminal that takes
nothing is left alone until it does. Whatever ends it, the terminal is given back.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from poolq.dashboard import key_bindings
from poolq.dashboard.action_runner import Hands, Result
from poolq.dashboard.drawing import frame
from poolq.dashboard.drawing.theme import Look
from poolq.dashboard.keys import parse, whole
from poolq.dashboard.screen_state import Act, State
from poolq.dashboard.sources import Source
from poolq.dashboard.terminal import Terminal, ignore_background
from poolq.monitor.snapshot import Snapshot
from poolq.system.poll import readable
from poolq.system.signal_queue import SignalQueue

TICK = 0.25  # seconds between frames
SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTSTP", "SIGCONT", "SIGWINCH")
_WORDS = {
    "pause": "pausing {}", "resume": "giving {} free", "retry": "retrying {}",
    "forget": "forgetting {}", "scale": "changing the number of workers", "reload": "reloading",
    "drain": "draining",
}  # fmt: skip


class Screen:
    """One screen in one terminal. `alive`: asked at each tick; False ends it."""

    def __init__(
        self,
        source: Source,
        terminal: Terminal,
        look: Look,
        state: State,
        hands: Hands,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source = source
        self._terminal = terminal
        self._look = look
        self._state = state
        self._hands = hands
        self._alive = alive
        self._signals = SignalQueue()
        # What a person ends a program with, ends the pool, whose own dashboard shows its end.
        self._ending = ("SIGTERM", "SIGHUP", *(() if state.own else ("SIGINT", "SIGQUIT")))
        self._leaving = False
        self._cut = b""  # the beginning of a key's sequence
        self.last: Snapshot | None = None  # the pool as it was seen last
        self.ended = False  # the pool has

    def run(self) -> None:
        """Until the pool ends, a person leaves, or a signal says so."""
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
            changed = self._hear() | self._take_results(now)
            if now >= tick:
                tick = max(tick + TICK, now + TICK / 2)
                found = self._source.look() if self._alive() else None
                if found is None:
                    self.ended = True
                    return
                self.last, changed = found, True
                self._terminal.enter()  # it may have been given back meanwhile (fg)
            if changed and not self._leaving:
                self._draw(now)
            self._sleep(max(0.0, tick - monotonic()))

    def _draw(self, now: float) -> None:
        if self.last is None or not self._terminal.foreground() or not self._terminal.ready():
            return
        size = self._terminal.size()
        self._terminal.show(frame.draw(self.last, self._state, self._look, size, now), size)

    def _sleep(self, timeout: float) -> None:
        fds = [self._signals.fd, self._hands.fd]
        if self._terminal.foreground():
            fds.append(self._terminal.fd)
        if self._terminal.fd in readable(fds, timeout):
            data = self._terminal.keys()
            self._leaving = self._leaving or not data  # the terminal has gone
            data, self._cut = whole(self._cut + data)
            for key in parse(data):
                self._press(key)
            if not self._leaving:
                self._draw(monotonic())

    # keys

    def _press(self, key: str) -> None:
        if self.last is None:
            return
        now = monotonic()
        act = key_bindings.press(key, self._state, self.last, now)
        if act == key_bindings.LEAVE:
            self._leaving = True
        elif act == key_bindings.SUSPEND:
            self._suspend(group=True)
        elif act == key_bindings.REDRAW:
            self._terminal.redraw()
        elif act is not None:
            self._begin(act, now)

    def _begin(self, act: Act, now: float) -> None:
        if not self._hands.begin(act):
            self._state.say("too much is still being done", now, "warning")
        elif act.kind in _WORDS:
            self._state.say(_WORDS[act.kind].format(act.target), now)

    def _take_results(self, now: float) -> bool:
        results = self._hands.results()
        for result in results:
            self._take(result, now)
        return bool(results)

    def _take(self, result: Result, now: float) -> None:
        detail = self._state.detail
        if result.act.kind != "show":
            self._state.say(result.text, now, result.level)
        elif detail is not None:
            detail.waits = False
            detail.blocks = result.blocks or {"not known": result.text}

    # signals

    def _hear(self) -> bool:
        """True when there is something new to draw."""
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

    def _suspend(self, *, group: bool) -> None:
        """Give the terminal back, stop, and come back with `fg`. Ctrl-Z stops the whole group, the
        pool's master too; it has to come after the terminal is as it was."""
        self._terminal.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        with suppress(ProcessLookupError):
            os.kill(0 if group else os.getpid(), signal.SIGTSTP)
        self._signals.install(("SIGTSTP",))
        self._terminal.redraw()
        self._terminal.enter()
