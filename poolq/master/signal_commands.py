"""Turns each signal to the master into a command; a second Ctrl-C kills running jobs.

Signal handlers only queue the signal (`system/signal_queue.py`); `commands.py` does the rest.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic

from poolq.errors import Refused
from poolq.master.commands import Commands
from poolq.master.state import Pool
from poolq.system.host import has_terminal
from poolq.system.kill import send

MIN_SIGNAL_INTERVAL = 1.0  # seconds within which a repeated INT or HUP is ignored
KEY_REPEAT_INTERVAL = 0.15  # seconds; a key that is held down repeats faster


@dataclass(eq=False)
class SignalCommands:
    """`log(level, text)` writes to the log."""

    commands: Commands
    pool: Pool
    log: Callable[[str, str], None]

    def __post_init__(self) -> None:
        self._had_terminal = has_terminal()
        self._nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._hung_up_at = -inf
        self._interrupted_at = self._last_interrupt_at = -inf

    def obey(self, name: str) -> None:
        """Obey a signal that has arrived. A refusal goes to the log."""
        try:
            self._obey(name)
        except Refused as error:
            self.log("warning", f"{name}: {error}; nothing changes")

    def _obey(self, name: str) -> None:
        pool = self.pool
        if name == "SIGTERM":
            self.commands.drain(name)
        elif name == "SIGQUIT":
            self.commands.abort(name)
        elif name == "SIGHUP":
            self._hangup()
        elif name == "SIGINT":
            self._interrupt(monotonic())
        elif name in ("SIGTTIN", "SIGTTOU"):
            self.commands.scale(pool.target() + (1 if name == "SIGTTIN" else -1), name)
        elif name == "SIGUSR1" and pool.logger is not None:
            send(pool.logger.pid, signal.SIGUSR1)
        elif name == "SIGUSR2":
            for proc in pool.procs():
                if proc.ready:
                    send(proc.pid, signal.SIGUSR2)

    def _interrupt(self, now: float) -> None:
        """Drain at the first Ctrl-C, abort at the second. A key held down counts once."""
        pool, repeated = self.pool, now - self._last_interrupt_at < KEY_REPEAT_INTERVAL
        self._last_interrupt_at = now
        if repeated or now - self._interrupted_at < MIN_SIGNAL_INTERVAL:
            if pool.interrupt_ignored_at < self._interrupted_at and not pool.aborted:
                interval = f"within {MIN_SIGNAL_INTERVAL:g} s of the last one"
                self.log("info", f"SIGINT {interval} is ignored; another one kills running jobs")
            pool.interrupt_ignored_at = now
            return
        pool.interrupts += 1
        self._interrupted_at = now
        if pool.interrupts == 1:
            self.commands.drain("SIGINT")
        else:
            self.commands.abort("SIGINT again")

    def _hangup(self) -> None:
        """Drain if the terminal was closed, else reload. If the pool was started with HUP ignored,
        as by `nohup`, it outlives the terminal. Kernel and shell may both report that the terminal
        is gone, so a second HUP right after the first is ignored."""
        now, closed = monotonic(), self._had_terminal and not has_terminal()
        if closed and self._nohup:
            self._had_terminal, self._hung_up_at = False, now
            self.log("info", "SIGHUP, and the terminal is gone; continuing because of nohup")
        elif closed:
            self.commands.drain("SIGHUP, and the terminal is gone")
        elif now - self._hung_up_at >= MIN_SIGNAL_INTERVAL:
            self.commands.reload("SIGHUP")
