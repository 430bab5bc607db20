"""What people want of a pool, by a signal or through its socket: written into its state, and told.

What follows from it is `policy.py`'s business. Raises Refused where it cannot be.
"""

import signal
from collections.abc import Callable
from time import monotonic

from poolq.config import Config
from poolq.errors import Refused
from poolq.master import transitions
from poolq.master.state import Mode, Pool
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.system.host import has_terminal
from poolq.system.kill import send
from poolq.system.wakeups import WakeUps

MIN_SIGNAL_INTERVAL = 1.0  # seconds between two INTs that mean two commands


class Commands:
    """`log(level, text)`: tell the log."""

    def __init__(
        self,
        config: Config,
        pool: Pool,
        scores: Scoreboard,
        wakeups: WakeUps,
        log: Callable[[str, str], None],
    ) -> None:
        self._config = config
        self._pool = pool
        self._scores = scores
        self._wakeups = wakeups
        self._log = log
        self._terminal = has_terminal()
        self._nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._hung_up = -MIN_SIGNAL_INTERVAL
        self._interrupts = 0
        self._interrupted = -MIN_SIGNAL_INTERVAL

    def signal(self, name: str) -> None:
        """One that has arrived; nobody is there to be refused, but the log."""
        try:
            self._signal(name)
        except Refused as error:
            self._log("warning", f"{name}: {error}; nothing changes")

    def _signal(self, name: str) -> None:
        pool = self._pool
        if name == "SIGTERM":
            self.drain(name)
        elif name == "SIGQUIT":
            self.abort(name)
        elif name == "SIGHUP":
            self._hangup()
        elif name == "SIGINT":
            self._interrupt(monotonic())
        elif name in ("SIGTTIN", "SIGTTOU"):
            self.scale(pool.target() + (1 if name == "SIGTTIN" else -1), name)
        elif name == "SIGUSR1" and pool.logger is not None:
            send(pool.logger.pid, signal.SIGUSR1)
        elif name == "SIGUSR2":
            for proc in pool.procs():
                if proc.ready:
                    send(proc.pid, signal.SIGUSR2)

    def _interrupt(self, now: float) -> None:
        """A second Ctrl-C means more than the first, unless it is a key held too long."""
        if now - self._interrupted < MIN_SIGNAL_INTERVAL:
            return
        self._interrupts += 1
        self._interrupted = now
        if self._interrupts == 1:
            self.drain("SIGINT")
        else:
            self.abort("SIGINT again")

    def _hangup(self) -> None:
        """The terminal was closed, or somebody wants a reload. Who started us with HUP ignored, as
        `nohup` does, means us to outlive the terminal; its end may come twice, from the kernel and
        from the shell."""
        now, gone = monotonic(), self._terminal and not has_terminal()
        if gone and self._nohup:
            self._terminal, self._hung_up = False, now
            self._log("info", "SIGHUP, and the terminal is gone: going on, as with nohup")
        elif gone:
            self.drain("SIGHUP, and the terminal is gone")
        elif now - self._hung_up >= MIN_SIGNAL_INTERVAL:
            self.reload("SIGHUP")

    def reload(self, why: str) -> int:
        """Try the code as it is now; returns the generation that it will be."""
        self._must_run()
        if transitions.reload(self._pool, why) and self._pool.trial is not None:
            generation = self._pool.trial.generation
            self._log("info", f"{why}: trying generation {generation}")
            return generation
        self._log("info", f"{why}: noted; another reload follows the one under way")
        return self._pool.last_generation + 1

    def pause(self, why: str) -> bool:
        """Take nothing new; False if that is so already."""
        return self._set_paused(True, f"{why}: taking nothing new")

    def resume(self, why: str) -> bool:
        """Take jobs again; False if that is so already."""
        changed = self._set_paused(False, f"{why}: taking jobs again")
        for bell in (*self._wakeups.doorbells, self._wakeups.idle):
            bell.wake()
        return changed

    def _set_paused(self, paused: bool, text: str) -> bool:
        self._must_run()
        if self._pool.paused == paused:
            return False
        self._pool.paused = paused
        self._scores.set_word(layout.PAUSED, paused)
        self._log("info", text)
        return True

    def scale(self, procs: int, why: str) -> None:
        """Have so many workers."""
        self._must_run()
        most = self._config.procs * 2 + 8
        if not 1 <= procs <= most:
            raise Refused(f"there cannot be {procs} workers: from 1 to {most} in this pool")
        transitions.scale(self._pool, procs)
        self._log("info", f"{why}: {procs} worker{'s' * (procs > 1)} from now on")

    def drain(self, why: str, *, patient: bool = False) -> None:
        """Let running jobs finish, then leave; `patient`: however long they take."""
        if not transitions.stop(self._pool, monotonic(), patient=patient):
            return
        limit = f"{self._config.stop_timeout:g} s"
        killed = "" if patient else f"; what still runs in {limit} is killed, given back"
        self._log("info", f"{why}: draining{killed}")

    def abort(self, why: str) -> None:
        """Leave at once."""
        self._log("warning", f"{why}: killing what runs; the jobs are given back uncounted")
        transitions.abort(self._pool, monotonic())

    def _must_run(self) -> None:
        if self._pool.mode is not Mode.RUN:
            raise Refused(f"the pool is {self._pool.mode.value}")
