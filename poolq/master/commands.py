"""The commands that a pool obeys, from `signal_commands.py` or `socket_requests.py`.

A command is logged and recorded in the pool's state; `policy.py` decides what to do about it. It
raises Refused if the pool is not in a state to obey it.
"""

from collections.abc import Callable
from time import monotonic

from poolq.config import Config
from poolq.errors import Refused
from poolq.master import canary, state_updates
from poolq.master.state import Mode, Pool
from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.system.wakeups import WakeUps


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

    def reload(self, why: str) -> int:
        """Try the code as it is on disk now. Returns the number of the new generation."""
        self._must_run()
        if canary.reload(self._pool, why) and self._pool.trial is not None:
            generation = self._pool.trial.generation
            self._log("info", f"{why}: trying generation {generation}")
            return generation
        self._log("info", f"{why}: another reload follows the one under way")
        return self._pool.last_generation + 1

    def pause(self, why: str) -> bool:
        """Stop claiming jobs. Returns False if the pool is paused already."""
        return self._set_paused(True, f"{why}: paused; no new jobs are claimed")

    def resume(self, why: str) -> bool:
        """Claim jobs again. Returns False if the pool is not paused."""
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
        state_updates.scale(self._pool, procs)
        self._log("info", f"{why}: {procs} worker{'s' * (procs > 1)} from now on")

    def drain(self, why: str, *, patient: bool = False) -> None:
        """Let running jobs finish, then end the pool. A `patient` drain has no time limit."""
        if not state_updates.stop(self._pool, monotonic(), patient=patient):
            return
        limit = f"{self._config.stop_timeout:g} s"
        killed = "" if patient else f"; jobs that run for more than {limit} are killed and released"
        self._log("info", f"{why}: draining{killed}")

    def abort(self, why: str) -> None:
        """Kill running jobs and end the pool."""
        self._log("warning", f"{why}: running jobs are killed and released; no attempt counts")
        state_updates.abort(self._pool, monotonic())

    def _must_run(self) -> None:
        if self._pool.mode is not Mode.RUN:
            raise Refused(f"the pool is {self._pool.mode.value}")
