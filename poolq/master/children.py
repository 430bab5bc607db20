"""The children of a pool: forked and reaped, for `master.py`.

What is to be forked is `policy.py`'s business; what happened goes to `transitions.py`; what
templates fork for us comes through `templates.py`.
"""

import os
import random
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic

from poolq.config import Config, engine_class
from poolq.errors import PoolqError
from poolq.keeper.keeper import Keeper
from poolq.log import logger
from poolq.log.events import Reporter
from poolq.log.pipes import Pipes, adopt
from poolq.log.sink import path_of
from poolq.master import exits, transitions
from poolq.master.state import HelperProcess, Pool, WorkerProcess, WorkerState
from poolq.master.templates import Log, Templates, log_refusal
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.deaths import cause
from poolq.scoreboard.layout import KillReason, Phase
from poolq.scoreboard.logger_cleanup import LoggerCleanup
from poolq.system.child_signals import ChildSignals
from poolq.system.exit_codes import BOOT_FAILED, CANNOT_START
from poolq.system.fork import fork
from poolq.system.identity import worker_name
from poolq.system.kill import kill_group
from poolq.system.wakeups import WakeUps, WorkerWakeUps
from poolq.template import load_errors
from poolq.template.protocol import TemplateSetup
from poolq.worker import process


class Children:
    """`private`: tells the descriptors of the master alone, which no child may keep; `served`: the
    port of the metrics, which is the keeper's."""

    def __init__(
        self,
        config: Config,
        node: str,
        pool: Pool,
        scores: Scoreboard,
        wakeups: WakeUps,
        reporter: Reporter,
        log: Log,
        private: Callable[[], tuple[int, ...]],
        pipes: Pipes,
        served: socket.socket | None,
    ) -> None:
        self._config = config
        self._node = node
        self._pool = pool
        self._scores = scores
        self._wakeups = wakeups
        self._reporter = reporter
        self._log = log
        self._life, self._alive = os.pipe2(os.O_CLOEXEC)
        self._served = served
        self._port = -1 if served is None else served.fileno()
        ours = (self._alive, *([] if served is None else [self._port]))
        self._private: Callable[[], tuple[int, ...]] = lambda: (*private(), *ours)
        self._pipes = pipes
        self._load_error = load_errors.LoadErrorBuffer()
        self._seq = 0
        self.rows: dict[int, int] = {}  # by seq
        self._seqs: dict[int, int] = {}  # by pid
        self._strangers: dict[int, tuple[int, bool]] = {}  # reaped before anybody named them
        self.templates = Templates(pool, self, log)

    # forking

    def spawn(self, slot: int, generation: int) -> None:
        """A worker: by its generation's template, or forked here to import for itself."""
        seq, now = self._seq + 1, monotonic()
        place = self._pool.slots[slot - 1]
        row = self._scores.allocate(seq, slot, generation)
        if row is None:
            place.not_before = now + transitions.WORKER_BACKOFF.first
            return
        self._seq = seq
        self._wakeups.doorbells[row].clear()
        template = self._pool.templates.get(generation)
        asked = template is not None and template.ready
        pid = 0 if asked else self._fork_bare(seq, row, slot, generation)
        if not pid and not (asked and self.templates.spawn(generation, seq, row, slot)):
            self._scores.release(row)
            place.not_before = now + (transitions.WORKER_BACKOFF.first if asked else 1.0)
            return
        self.rows[seq] = row
        proc = WorkerProcess(seq, pid, generation, started_at=now)
        transitions.spawned(self._pool, slot, proc, random.random())
        if pid:
            self._adopt(seq, pid)

    def _fork_bare(self, seq: int, row: int, slot: int, generation: int) -> int:
        setup = process.WorkerSetup(
            self._config, worker_name(self._node, seq), self._node, slot, generation, os.getpid(),
            self._life, self._pool.on_trial(generation), self._scores.worker_row(row),
            self._scores.start_order(row), WorkerWakeUps(self._wakeups, row),
            self._reporter, self._wakeups.master.wake,
            self._load_error.write if self._pool.on_trial(generation) else None,
        )  # fmt: skip
        main = partial(process.main, setup)
        return self.fork(main, f"worker {slot}", self._pipes.writers.row(row), row)

    def _adopt(self, seq: int, pid: int) -> None:
        self._seqs[pid] = seq
        self._scores.set_pid(self.rows[seq], pid)
        self._wakeups.doorbells[self.rows[seq]].wake()

    def spawn_logger(self) -> None:
        """The process that writes what all say. It keeps the reading ends alone."""
        scores, guard = self._scores, LoggerCleanup(self._scores, os.getpid())

        def log() -> int:
            return logger.main(
                logger.LoggerSetup(
                    self._pipes,
                    self._reporter.formatter,
                    lambda row: (scores.read(row).slot, scores.running_job(row)[0]),
                    guard.beat,
                    path_of(self._config),
                )
            )

        close = (*self._private(), *self.templates.private(), *self._pipes.writers.fds)
        try:
            pid = fork(log, close)
        except OSError:
            self._pool.logger_not_before = monotonic() + 1.0  # there is nobody to tell it to
            return
        self._pool.logger = HelperProcess(pid, monotonic())

    def spawn_keeper(self) -> None:
        """The engine's library is loaded here, so that all keepers share it: one that replaces
        another has to beat before its node is taken for dead."""
        master = os.getpid()
        with suppress(PoolqError, ImportError):  # the keeper will say so
            engine_class(self._config)

        def keep() -> int:
            signals = ChildSignals(self._life)
            signals.install(master, lambda: None, outlive=True)
            keeper = Keeper(
                self._config, self._node, self._scores, self._wakeups, signals, self._reporter,
                self._served,
            )  # fmt: skip
            return keeper.run()

        pid = self.fork(keep, "keeper", self._pipes.writers.named("keeper"), keep=self._port)
        if pid:
            self._pool.keeper = HelperProcess(pid, monotonic())
        else:
            self._pool.keeper_not_before = monotonic() + 1.0

    def fork(
        self, main: Callable[[], int], what: str, pipe: int, row: int | None = None, keep: int = -1
    ) -> int:
        """The child's pid; 0 where the system has no room now. It speaks as `what` through `pipe`;
        `row` is a worker's; `keep`: what it shall have though others may not."""

        def child() -> int:
            adopt(pipe)
            job = str if row is None else lambda: self._scores.running_job(row)[0]
            on_event = self._scores.recent_events(what, row).add
            self._reporter.attach(what, pipe, self._pipes.writers.token, job=job, on_event=on_event)
            return main()

        try:
            return fork(child, tuple(fd for fd in self.close_for(pipe) if fd != keep))
        except OSError as error:
            self._log("error", f"{what} cannot be forked: {error.strerror}; trying again")
            return 0

    def close_for(self, pipe: int) -> tuple[int, ...]:  # in a process that speaks through `pipe`
        return (*self._private(), *self.templates.private(), *self._pipes.all_but(pipe))

    # what templates fork

    def fork_template(self, main: Callable[[], int], what: str) -> int:
        """As `fork`, for another program: it needs the pipes of all its workers."""
        try:
            return fork(main, (*self._private(), *self.templates.private(), *self._pipes.readers))
        except OSError as error:
            self._log("error", f"{what} cannot be forked: {error.strerror}; trying again")
            return 0

    def setup(self, generation: int, line: int) -> tuple[TemplateSetup, tuple[int, ...]]:
        """What a template is told, and the descriptors that it needs for it."""
        wakeups = self._wakeups.fds()
        told = TemplateSetup(
            self._config, self._node, generation, os.getpid(), line, self._life,
            self._scores.rows, self._scores.fd, wakeups,
            list(self._pipes.writers.fds), self._pipes.writers.token,
        )  # fmt: skip
        return told, (self._life, self._scores.fd, *wakeups, *self._pipes.writers.fds)

    def forked(self, seq: int, pid: int) -> None:
        """A template has forked a worker (seq 0: its own copy), which may be dead already."""
        if seq:
            transitions.forked(self._pool, seq, pid)
            if seq not in self.rows:
                return
            self._adopt(seq, pid)
        if pid in self._strangers:
            status, by_signal = self._strangers.pop(pid)
            self._gone(pid, status, by_signal=by_signal)

    def fork_failed(self, seq: int) -> None:
        """A worker that was asked for will not come."""
        if seq in self.rows:
            self._scores.release(self.rows.pop(seq))
            transitions.fork_failed(self._pool, seq, monotonic())

    # reaping

    def reap(self) -> None:
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
            pid, status = found.si_pid, found.si_status
            by_signal = found.si_code != os.CLD_EXITED
            seq = self._seqs.get(pid)
            if seq is not None:
                row = self._scores.read(self.rows[seq])
                if by_signal or status or row.in_job:
                    kill_group(pid)
            os.waitpid(pid, 0)
            self._gone(pid, status, by_signal=by_signal)
        if self._strangers and not self._expecting():
            self._strangers.clear()  # a later child may have the same pid
        transitions.end_if_empty(self._pool, monotonic())
        transitions.remove_closed(self._pool)

    def _gone(self, pid: int, status: int, *, by_signal: bool) -> None:
        now, pool, code = monotonic(), self._pool, -1 if by_signal else status
        if pool.logger is not None and pool.logger.pid == pid:
            transitions.logger_exited(pool, now)
            self._log("warning", f"logger (pid {pid}) died; starting another")
        elif pool.keeper is not None and pool.keeper.pid == pid:
            if not pool.keeper.stop_sent and pool.broker_reached:
                self._log("warning", f"keeper (pid {pid}) died; starting another")
            killed = by_signal and status == signal.SIGKILL
            transitions.keeper_exited(pool, code, now, killed=killed)
        elif any(pid in (template.pid, template.spare) for template in pool.templates.values()):
            self.templates.gone(pid, code)
        elif pid in self._seqs:
            self._worker_gone(pid, status, by_signal=by_signal)
        elif self._expecting():
            self._strangers[pid] = (status, by_signal)

    def _expecting(self) -> bool:
        """A child may be born that nobody has named yet."""
        templates = self._pool.templates.values()
        return any(proc.state is WorkerState.FORKING for proc in self._pool.procs()) or any(
            template.ready and not template.spare for template in templates
        )

    def _worker_gone(self, pid: int, status: int, *, by_signal: bool) -> None:
        seq = self._seqs.pop(pid)
        index = self.rows.pop(seq)
        self._scores.set_dead(index, status if by_signal else 0, 0 if by_signal else status)
        self._wakeups.keeper.wake()
        row = self._scores.read(index)
        if row.phase != Phase.BOOT:  # it may have come up and died between two looks
            transitions.ready(self._pool, seq, idle=False)
        gave_reason = row.phase == Phase.BOOT and status in (BOOT_FAILED, *CANNOT_START)
        if by_signal or row.in_job or (status and not gave_reason):
            self._log("warning", f"worker {row.slot} (pid {pid}) {cause(row)}")
        code, now = -1 if by_signal else status, monotonic()
        condemned, on_trial = (
            row.kill_reason != KillReason.NONE,
            self._pool.on_trial(row.generation),
        )
        exits.count(self._pool, seq, row, now)
        words = self._load_error.take() if on_trial else None
        why = words.why if words else ""
        worked, in_job = row.settled_jobs > 0 or condemned, row.in_job and not condemned
        failed = transitions.exited(self._pool, seq, code, now, why, worked=worked, in_job=in_job)
        if failed and self._pool.generation:
            log_refusal(self._pool, self._log, row.generation, words)
        elif words is not None:
            self._log("error", words.why)
        elif failed and not gave_reason:
            self._log("error", "the first worker did not get ready: the pool ends")

    def end_log(self) -> None:
        """All others are gone, and the last word is said: wait until it is written."""
        if self._pool.logger is None:
            self.spawn_logger()
        if self._pool.logger is None:
            return
        logger.end(self._pool.logger.pid, self._pipes)

    def row_of(self, pid: int) -> int | None:
        """The scoreboard row of a worker."""
        seq = self._seqs.get(pid)
        return None if seq is None else self.rows[seq]
