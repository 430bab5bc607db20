"""The master: forks, signals and reaps. It runs no user code, has no broker connection, and holds
no rule of its own: `policy.py` decides, this shell applies.

The loop: drain signals → reap → read the scoreboard → decide → apply → sleep until `next_wake`.
"""

import os
import random
import select
import signal
from functools import partial
from time import monotonic

from setproctitle import setproctitle

from poolq.config import Config
from poolq.pool import policy, state
from poolq.pool import scoreboard as board
from poolq.pool.bells import Bells, WorkerBells
from poolq.pool.keeper import Keeper, worker_name
from poolq.pool.policy import Action, Exit, Kill, Spawn, SpawnKeeper, Stop
from poolq.pool.recovery import cause
from poolq.pool.scoreboard import Scoreboard
from poolq.pool.signals import SignalQueue
from poolq.pool.spawn import fork
from poolq.pool.state import Pool, Seat
from poolq.worker import process
from poolq.worker.events import Note, Reporter
from poolq.worker.identity import node_id
from poolq.worker.row import Phase
from poolq.worker.signals import Signals

AGAIN = 1.0  # seconds between two INTs that mean two wishes


def run_pool(config: Config, reporter: Reporter) -> int:
    """Run until told to stop; the exit code of `poolq run`."""
    return Master(config, reporter).run()


class Master:
    """One pool's master process."""

    def __init__(self, config: Config, reporter: Reporter) -> None:
        self._config = config
        self._reporter = reporter
        self._node = node_id()
        rows = config.procs * 4 + 16
        self._scores = Scoreboard(rows)
        self._bells = Bells(rows)
        self._signals = SignalQueue()
        self._life, self._alive = os.pipe2(os.O_CLOEXEC)
        self._rows: dict[int, int] = {}
        self._seq = 0
        self._interrupts = 0
        self._interrupted = -AGAIN
        seats = [Seat(slot) for slot in range(1, config.procs + 1)]
        self._pool = Pool(seats, config.cooldown, config.stop_timeout)

    def run(self) -> int:
        setproctitle("poolq: master")
        self._reporter.rename("master")
        self._signals.install()
        served = ", ".join(self._config.queue) if self._config.queue else "all queues"
        self._say(
            "info", f"pool {self._config.name} starts: {self._config.procs} workers, {served}"
        )
        while True:
            for name in self._signals.take():
                self._signal(name)
            self._reap()
            self._look()
            now = monotonic()
            for action in policy.decide(self._pool, now, self._scores.unconfirmed()):
                if isinstance(action, Exit):
                    self._say("info", f"pool {self._config.name} has ended")
                    return action.code
                self._apply(action)
            self._sleep(policy.next_wake(self._pool, monotonic()))

    def _sleep(self, timeout: float) -> None:
        ready, _, _ = select.select([self._signals.fd, self._bells.master.fd], [], [], timeout)
        if self._bells.master.fd in ready:
            self._bells.master.quiet()

    def _signal(self, name: str) -> None:
        now = monotonic()
        if name == "SIGTERM":
            self._drain(name, now)
        elif name == "SIGQUIT":
            self._abort(name, now)
        elif name == "SIGHUP":
            self._say("info", "SIGHUP: replacing the workers one by one")
            state.reload(self._pool, now)
        elif name == "SIGINT" and now - self._interrupted >= AGAIN:
            self._interrupts += 1
            self._interrupted = now
            if self._interrupts == 1:
                self._drain("SIGINT", now)
            else:
                self._abort("SIGINT again", now)

    def _drain(self, why: str, now: float) -> None:
        if state.stop(self._pool, now):
            limit = f"{self._config.stop_timeout:g} s"
            self._say("info", f"{why}: draining; what still runs in {limit} is killed, given back")

    def _abort(self, why: str, now: float) -> None:
        self._say("warning", f"{why}: killing what runs; the jobs are given back uncounted")
        state.abort(self._pool, now)

    def _look(self) -> None:
        """Read what keeper and workers have written."""
        now, pool, scores = monotonic(), self._pool, self._scores
        scores.free()
        state.looked(pool, scores.told(board.KEEPER_BEAT), now)
        pool.contact = pool.contact or bool(scores.told(board.KEEPER_READY))
        empty = self._config.until_empty and scores.told(board.KEEPER_EMPTY)
        if empty and state.stop(pool, now):
            self._say("info", "the queues are empty: leaving")
        for proc in pool.procs():
            if not proc.ready and scores.phase(self._rows[proc.pid]) != Phase.BOOT:
                state.ready(pool, proc.seq)

    def _apply(self, action: Action) -> None:
        if isinstance(action, SpawnKeeper):
            self._spawn_keeper()
        elif isinstance(action, Spawn):
            self._spawn(action.slot)
        elif isinstance(action, Stop):
            _send(action.pid, signal.SIGTERM)
            state.signalled(self._pool, action.pid, killed=False)
        elif isinstance(action, Kill):
            self._say("warning", f"{action.why}; killed")
            if not action.charged and action.pid in self._rows:
                self._scores.pardon(self._rows[action.pid])
            _kill(action.pid)
            state.signalled(self._pool, action.pid, killed=True)

    def _spawn(self, slot: int) -> None:
        seq = self._seq + 1
        row = self._scores.take(seq, slot, generation=1)
        seat, now = self._pool.seats[slot - 1], monotonic()
        if row is None:
            seat.not_before = now + state.BACKOFF_FIRST
            return
        self._seq = seq
        self._bells.doors[row].quiet()
        setup = process.Setup(
            self._config, worker_name(self._node, seq), self._node, slot, 1, os.getpid(),
            self._life, seq == 1, self._scores.worker(row), WorkerBells(self._bells, row),
            self._reporter, self._bells.master.ring,
        )  # fmt: skip
        try:
            pid = fork(partial(process.main, setup), self._private())
        except OSError as error:
            self._scores.drop(row)
            seat.not_before = now + 1.0
            self._say("error", f"worker {slot} cannot be forked: {error.strerror}; trying again")
            return
        self._scores.born(row, pid)
        self._rows[pid] = row
        state.spawned(self._pool, slot, seq, pid, now, random.random())

    def _spawn_keeper(self) -> None:
        master = os.getpid()

        def keep() -> int:
            signals = Signals(self._life)
            signals.install(master, lambda: None, outlive=True)
            keeper = Keeper(
                self._config, self._node, self._scores, self._bells, signals, self._reporter
            )
            return keeper.run()

        try:
            self._pool.keeper = state.Keeper(fork(keep, self._private()), looked=monotonic())
        except OSError as error:
            self._pool.keeper_not_before = monotonic() + 1.0
            self._say("error", f"the keeper cannot be forked: {error.strerror}; trying again")

    def _private(self) -> tuple[int, ...]:
        """Descriptors of the master alone: its end of the life pipe, and its signals."""
        return (self._alive, self._signals.fd, self._signals.write)

    def _reap(self) -> None:
        """Reap exited children; a worker's subprocesses die with it, unless it left by itself.

        Respawning is decide()'s business. Unknown children are reaped silently.
        """
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if found is None:
                break
            killed = found.si_code != os.CLD_EXITED
            index = self._rows.get(found.si_pid)
            if index is not None and (
                killed or found.si_status != 0 or self._scores.read(index).in_job
            ):
                _kill(found.si_pid)
            os.waitpid(found.si_pid, 0)
            self._gone(found.si_pid, found.si_status, by_signal=killed)
        state.emptied(self._pool, monotonic())

    def _gone(self, pid: int, status: int, *, by_signal: bool) -> None:
        now = monotonic()
        keeper = self._pool.keeper
        if keeper is not None and keeper.pid == pid:
            if not keeper.told and self._pool.contact:
                self._say("warning", f"keeper (pid {pid}) died; starting another")
            state.keeper_exited(self._pool, -1 if by_signal else status, now)
            return
        index = self._rows.pop(pid, None)
        if index is None:
            return
        self._scores.died(index, status if by_signal else 0, 0 if by_signal else status)
        self._bells.keeper.ring()
        row = self._scores.read(index)
        if row.phase != Phase.BOOT:  # it may have come up and died between two looks
            state.ready(self._pool, row.seq)
        worked = bool(row.done or row.failed or row.retried or row.limited or row.parked)
        code = -1 if by_signal else status
        state.exited(self._pool, pid, code, now, worked=worked, in_job=row.in_job)
        told_why = row.phase == Phase.BOOT and status in (state.BOOT_FAILED, *state.TELLING)
        if by_signal or row.in_job or (status and not told_why):
            self._say("warning", f"worker {row.slot} (pid {pid}) {cause(row)}")

    def _say(self, level: str, text: str) -> None:
        self._reporter.report(Note(level, text))
        self._reporter.flush()


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it will be reaped in the next round


def _kill(pid: int) -> None:
    """The whole group; the process alone while it has not made its group yet."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        _send(pid, signal.SIGKILL)
