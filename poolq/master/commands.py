"""The commands that a pool obeys, from `signal_commands.py` or `socket_requests.py`.

A command is logged and recorded in the pool's state; `policy.py` decides what to do about it. The
command raises Refused if the pool's state does not allow it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from poolq.config import Config, engine_urls
from poolq.errors import Refused
from poolq.master import canary, state_updates
from poolq.master.state import Mode, Pool
from poolq.scoreboard import kill_check, layout
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import KillReason
from poolq.system.wakeups import WakeUps

MAX_NAMED = 3  # a drain's log line names at most this many running jobs


@dataclass(eq=False)
class Commands:
    """`log(level, text)` writes to the log."""

    config: Config
    pool: Pool
    scores: Scoreboard
    wakeups: WakeUps
    log: Callable[[str, str], None]

    def reload(self, why: str) -> int:
        """Try the code as it is on disk now. Returns the number of the new generation."""
        self._must_run()
        if canary.reload(self.pool, why) and self.pool.trial is not None:
            generation = self.pool.trial.generation
            self.log("info", f"{why}: trying generation {generation}")
            return generation
        self.log("info", f"{why}: another reload follows the one under way")
        return self.pool.last_generation + 1

    def set_paused(self, paused: bool, why: str) -> bool:
        """Stop or resume claiming jobs. Returns False if this changes nothing."""
        self._must_run()
        changed = self.pool.paused != paused
        if changed:
            self.pool.paused = paused
            self.scores.set_word(layout.PAUSED, paused)
            done = "paused; no new jobs are claimed" if paused else "resumed"
            self.log("info", f"{why}: {done}")
        if not paused:
            for wakeup in (*self.wakeups.doorbells, self.wakeups.idle):
                wakeup.wake()
        return changed

    def scale(self, procs: int, why: str) -> None:
        """Set the target number of workers."""
        self._must_run()
        maximum = self.config.procs * 2 + 8
        if not 1 <= procs <= maximum:
            raise Refused(
                f"there cannot be {procs} workers: this pool can have from 1 to {maximum}"
            )
        state_updates.scale(self.pool, procs)
        self.log("info", f"{why}: {procs} worker{'s' * (procs > 1)} from now on")

    def kill(
        self, id: str, why: str, *, worker: int | None = None, give_back: bool = False
    ) -> tuple[Row, str]:
        """End a running job by killing its worker. The keeper then cancels the job, or gives it
        back. `worker` (a slot or pid): kill the job only if this worker is running it.
        Returns the worker's row and the job's name. Works even while the pool ends."""
        reason = KillReason.RETURNED if give_back else KillReason.CANCELLED

        def judge(row: Row) -> KillReason:
            runs = row.in_job and self.scores.running_job(row.index)[0] == id
            return reason if runs else KillReason.NONE

        for row in self.scores.used_rows():
            proc = self.pool.find(row.seq)
            if proc is None or proc.killed or worker not in (None, row.slot, row.pid):
                continue
            if not judge(row):
                continue
            running = kill_check.running_job(row)
            if killed := kill_check.kill_worker(self.scores, row, running, judge):
                state_updates.signalled(self.pool, row.pid, monotonic(), killed=True)
                self.log("warning", f"{why}: {killed}")
                return row, killed.job
        subject = (
            "no worker of this pool runs" if worker is None else f"worker {worker} does not run"
        )
        raise Refused(f"{subject} job {id}; it may have ended")

    def drain(self, why: str, *, patient: bool = False) -> None:
        """Let running jobs finish, then end the pool. A `patient` drain has no time limit."""
        if not state_updates.stop(self.pool, monotonic(), patient=patient):
            return
        text = f"{why}: draining; {self._running()}"
        if not patient:
            text += f" for at most {self.config.stop_timeout:g} s before being killed and released"
        if why == "SIGINT":
            text += "; another Ctrl-C does so at once"
        self.log("info", text)

    def _running(self) -> str:
        """Return a phrase with the names of at most MAX_NAMED running jobs."""
        rows = [row.index for row in self.scores.used_rows() if row.in_job]
        jobs = [(name, id) for id, _, name in map(self.scores.running_job, rows) if id]
        named = ", ".join(f"{name} {id}" for name, id in jobs[:MAX_NAMED])
        unnamed = f" and {len(jobs) - MAX_NAMED} more" if len(jobs) > MAX_NAMED else ""
        return f"{named}{unnamed} may run" if jobs else "no job runs; those that just start may run"

    def abort(self, why: str) -> None:
        """Kill running jobs and end the pool."""
        self.log("warning", f"{why}: running jobs are killed and released; no attempt counts")
        state_updates.abort(self.pool, monotonic())

    def announce(self, url: str, namespace: str, text: str) -> None:
        """Log what a `poolq` command did (`text`) if it used this pool's engine and namespace."""
        if (url, namespace) == (engine_urls.redact(self.config.engine), self.config.namespace):
            self.log("info", text)

    def _must_run(self) -> None:
        if self.pool.mode is not Mode.RUN:
            raise Refused(f"the pool is {self.pool.mode.value}")
