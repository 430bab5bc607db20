"""The commands that a pool takes, by a signal or through its socket. Each is logged and written
into the pool's state; what follows from it is the business of `policy.py`.

A command raises Refused if the pool is in no state to obey it.
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

MIN_SIGNAL_INTERVAL = 1.0  # seconds between two INTs, or two HUPs, that count as two


class Commands:
    """`log(level, text)` writes to the log."""

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
        self._had_terminal = has_terminal()
        self._nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._hung_up_at = -MIN_SIGNAL_INTERVAL
        self._interrupts = 0
        self._interrupted_at = -MIN_SIGNAL_INTERVAL

    def signal(self, name: str) -> None:
        """Obey a signal that has arrived. A refusal goes to the log."""
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
        """A second Ctrl-C means more than the first, unless the key was just held for too long."""
        if now - self._interrupted_at < MIN_SIGNAL_INTERVAL:
            return
        self._interrupts += 1
        self._interrupted_at = now
        if self._interrupts == 1:
            self.drain("SIGINT")
        else:
            self.abort("SIGINT again")

    def _hangup(self) -> None:
        """Either the terminal was closed, or somebody requests a reload. If the pool was started
        with HUP ignored, as by `nohup`, it outlives the terminal, whose end may be reported twice,
        by the kernel and by the shell."""
        now, closed = monotonic(), self._had_terminal and not has_terminal()
        if closed and self._nohup:
            self._had_terminal, self._hung_up_at = False, now
            self._log("info", "SIGHUP, and the terminal is gone: continuing, as with nohup")
        elif closed:
            self.drain("SIGHUP, and the terminal is gone")
        elif now - self._hung_up_at >= MIN_SIGNAL_INTERVAL:
            self.reload("SIGHUP")

    def reload(self, why: str) -> int:
        """Try the code as it is now; returns the generation that it will have."""
        self._must_run()
        if transitions.reload(self._pool, why) and self._pool.trial is not None:
            generation = self._pool.trial.generation
            self._log("info", f"{why}: trying generation {generation}")
            return generation
        self._log("info", f"{why}: another reload follows the one under way")
        return self._pool.last_generation + 1

    def pause(self, why: str) -> bool:
        """Claim no new jobs; False if the pool is paused already."""
        return self._set_paused(True, f"{why}: paused; no new jobs are claimed")

    def resume(self, why: str) -> bool:
        """Claim jobs again; False if the pool is not paused."""
        changed = self._set_paused(False, f"{why}: resumed")
        for wakeup in (*self._wakeups.doorbells, self._wakeups.idle):
            wakeup.wake()
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
        """Set the target number of workers."""
        self._must_run()
        most = self._config.procs * 2 + 8
        if not 1 <= procs <= most:
            raise Refused(f"there cannot be {procs} workers: this pool can have from 1 to {most}")
        transitions.scale(self._pool, procs)
        self._log("info", f"{why}: {procs} worker{'s' * (procs > 1)} from now on")

    def drain(self, why: str, *, patient: bool = False) -> None:
        """Let running jobs finish, then end; `patient`: however long they take."""
        if not transitions.stop(self._pool, monotonic(), patient=patient):
            return
        limit = f"{self._config.stop_timeout:g} s"
        killed = "" if patient else f"; jobs that run for more than {limit} are killed and released"
        self._log("info", f"{why}: draining{killed}")

    def abort(self, why: str) -> None:
        """End at once."""
        self._log("warning", f"{why}: killing running jobs; they are released, uncounted")
        transitions.abort(self._pool, monotonic())

    def _must_run(self) -> None:
        if self._pool.mode is not Mode.RUN:
            raise Refused(f"the pool is {self._pool.mode.value}")
