"""Forks and reaps the children of the master.

`policy.py` decides what to fork, `state_updates.py` records what has happened, and `templates.py`
talks to the templates, which fork workers for the master.
"""

import os
import random
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic

from poolq.config import Config, engine_class
from poolq.errors import BOOT_FAILED, CANNOT_START, PoolqError
from poolq.keeper.keeper import Keeper
from poolq.log import logger
from poolq.log.pipes import Pipes, adopt
from poolq.log.reporting import Log
from poolq.log.sink import LoggerSetup, path_of
from poolq.master import exits, state_updates
from poolq.master.state import HelperProcess, Pool, WorkerProcess, WorkerState
from poolq.master.templates import Templates, log_refusal
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.deaths import describe_exit
from poolq.scoreboard.layout import KillReason, Phase
from poolq.scoreboard.logger_cleanup import LoggerCleanup
from poolq.scoreboard.recent_lines import RecentLines
from poolq.system.child_signals import ChildSignals
from poolq.system.fork import fork
from poolq.system.kill import kill_group
from poolq.system.wakeups import WakeUps
from poolq.template.load_errors import LoadErrorBuffer
from poolq.template.protocol import ForkWorker, TemplateSetup
from poolq.template.template import log_as_worker, worker_setup
from poolq.worker import process

FORK_RETRY_DELAY = 1.0  # seconds, after a failed fork


@dataclass(eq=False)
class Children:
    """The children of one master. `descriptors` returns the master's descriptors that every child
    must close; `metrics` is the listening socket for Prometheus, which the keeper serves."""

    config: Config
    node: str
    pool: Pool
    scores: Scoreboard
    wakeups: WakeUps
    reporter: Log
    log: Callable[[str, str], None]
    descriptors: Callable[[], tuple[int, ...]]
    pipes: Pipes
    metrics: socket.socket | None

    def __post_init__(self) -> None:
        self._life, self._alive = os.pipe2(os.O_CLOEXEC)  # children read EOF when the master dies
        self._metrics_fd = -1 if self.metrics is None else self.metrics.fileno()
        self._load_error = LoadErrorBuffer()
        self._seq = 0
        self._unknown: dict[int, tuple[int, bool]] = {}  # exits by pid, of children not known yet
        self.templates = Templates(self.pool, self, self.log)

    # forking

    def spawn(self, slot: int, generation: int) -> None:
        """Start a worker. The template of its generation forks it. If it replaces a worker whose
        cooldown is over, the template first checks the code, and forks nothing if a file has
        changed. If there is no template, the master forks the worker, which then imports the
        application itself."""
        seq, now = self._seq + 1, monotonic()
        place = self.pool.slots[slot - 1]
        row = self.scores.allocate(seq, slot, generation)
        if row is None:
            place.not_before = now + state_updates.WORKER_BACKOFF.first
            return
        self._seq = seq
        self.wakeups.doorbells[row].clear()
        first = self.pool.on_trial(generation)
        check = not first and any(now >= old.expires_at for old in place.serving())
        request = ForkWorker(seq, row, slot, first, check)
        template = self.pool.templates.get(generation)
        asked = template is not None and template.ready
        pid = 0 if asked else self._fork_worker(generation, request)
        if not pid and not (asked and self.templates.fork_worker(generation, request)):
            self.scores.release(row)
            delay = state_updates.WORKER_BACKOFF.first if asked else FORK_RETRY_DELAY
            place.not_before = now + delay
            return
        proc = WorkerProcess(seq, pid, generation, row=row, started_at=now)
        state_updates.spawned(self.pool, slot, proc, random.random())
        if pid:
            self._adopt(proc)

    def _fork_worker(self, generation: int, request: ForkWorker) -> int:
        """Fork a worker that imports the application itself. Returns its pid, or 0."""
        setup, _ = self.template_setup(generation, -1)
        failed = self._load_error.write if request.first else None

        def main() -> int:
            log_as_worker(self.reporter, self.pipes.writers, self.scores, request)
            return process.main(
                worker_setup(setup, request, self.scores, self.wakeups, self.reporter, failed)
            )

        close = self.closed_in_child(self.pipes.writers.fds[request.row])
        return self._fork(main, f"worker {request.slot}", close)

    def _adopt(self, proc: WorkerProcess) -> None:
        self.scores.set_pid(proc.row, proc.pid)
        self.wakeups.doorbells[proc.row].wake()

    def spawn_logger(self) -> None:
        """Start the process that writes the log. No other child has the pipes' reading ends."""
        scores, guard = self.scores, LoggerCleanup(self.scores, os.getpid())
        setup = LoggerSetup(
            self.pipes,
            self.reporter.formatter,
            lambda row: (scores.read(row).slot, scores.running_job(row)[0]),
            guard.beat,
            path_of(self.config),
            RecentLines(scores.pages.log_lines).add,
        )
        try:
            closed = (*self._closed(), *self.pipes.writers.fds)
            pid = fork(partial(logger.main, setup), closed)
        except OSError:  # there is no logger that could log the error
            self.pool.logger_not_before = monotonic() + FORK_RETRY_DELAY
            return
        self.pool.logger = HelperProcess(pid, monotonic())

    def spawn_keeper(self) -> None:
        """Start the keeper. The master imports the engine's library for it, since importing takes
        long, and a new keeper must send a heartbeat before its node counts as dead."""
        master = os.getpid()
        with suppress(PoolqError, ImportError):  # the keeper reports the error
            engine_class(self.config)

        pipe = self.pipes.writers.named("keeper")

        def keep() -> int:
            adopt(pipe)
            on_event = self.scores.recent_events("keeper").add
            self.reporter.attach("keeper", pipe, self.pipes.writers.token, on_event=on_event)
            signals = ChildSignals(self._life)
            signals.install(master, lambda: None, outlive=True)
            keeper = Keeper(
                config=self.config,
                node=self.node,
                scores=self.scores,
                wakeups=self.wakeups,
                signals=signals,
                reporter=self.reporter,
                metrics=self.metrics,
            )
            return keeper.run()

        close = tuple(fd for fd in self.closed_in_child(pipe) if fd != self._metrics_fd)
        pid = self._fork(keep, "keeper", close)
        if pid:
            self.pool.keeper = HelperProcess(pid, monotonic())
        else:
            delay = min(FORK_RETRY_DELAY, self.pool.limits.keeper_pause)
            self.pool.keeper_not_before = monotonic() + delay

    def _fork(self, main: Callable[[], int], name: str, close: tuple[int, ...]) -> int:
        """Return the child's pid, or 0 if the system cannot fork now."""
        try:
            return fork(main, close)
        except OSError as error:
            self.log("error", f"{name} cannot be forked: {error.strerror}; trying again")
            return 0

    def _closed(self) -> tuple[int, ...]:
        """The descriptors that children must close. Only the keeper keeps the metrics socket open,
        so that clients notice when the keeper ends."""
        metrics = () if self.metrics is None else (self._metrics_fd,)
        return (*self.descriptors(), self._alive, *metrics, *self.templates.descriptors())

    def closed_in_child(self, pipe: int) -> tuple[int, ...]:
        """The descriptors that a child logging through `pipe` must close."""
        return (*self._closed(), *self.pipes.all_but(pipe))

    # for the templates

    def fork_template(self, main: Callable[[], int], name: str) -> int:
        """Fork a template. It keeps the pipes' writing ends, as its workers will need them."""
        return self._fork(main, name, (*self._closed(), *self.pipes.readers))

    def template_setup(self, generation: int, line: int) -> tuple[TemplateSetup, tuple[int, ...]]:
        """Return the setup of a template and the descriptors that it inherits."""
        wakeups, writers = self.wakeups.fds(), self.pipes.writers
        setup = TemplateSetup(
            config=self.config,
            node=self.node,
            generation=generation,
            master=os.getpid(),
            line=line,
            life=self._life,
            rows=self.scores.rows,
            board=self.scores.fd,
            wakeups=wakeups,
            writers=list(writers.fds),
            token=writers.token,
        )
        return setup, (self._life, self.scores.fd, *wakeups, *writers.fds)

    def forked(self, seq: int, pid: int) -> None:
        """Record the pid of a worker, or of a template's copy (seq 0). The process may be dead."""
        if seq:
            proc = state_updates.forked(self.pool, seq, pid)
            if proc is None:
                return
            self._adopt(proc)
        if pid in self._unknown:
            status, by_signal = self._unknown.pop(pid)
            self._exited(pid, status, by_signal=by_signal)

    def fork_failed(self, seq: int) -> None:
        """Give up worker `seq`, which its template could not fork."""
        if (proc := self.pool.find(seq)) is not None:
            self.scores.release(proc.row)
            state_updates.fork_failed(self.pool, seq, monotonic())

    # reaping

    def reap(self) -> None:
        """Reap exited children, and kill the subprocesses of a worker that crashed or exited during
        a job. Adopted orphans are reaped silently. Respawning is left to `policy.py`."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if ended is None:
                break
            pid, status = ended.si_pid, ended.si_status
            by_signal = ended.si_code != os.CLD_EXITED
            if (proc := self.pool.worker(pid)) is not None:
                row = self.scores.read(proc.row)
                if by_signal or status or row.in_job:
                    kill_group(pid)
            os.waitpid(pid, 0)
            self._exited(pid, status, by_signal=by_signal)
        if self._unknown and not self._expects_child():
            self._unknown.clear()  # a later child may have the same pid
        state_updates.reaped(self.pool, monotonic())

    def _exited(self, pid: int, status: int, *, by_signal: bool) -> None:
        now, pool, code = monotonic(), self.pool, -1 if by_signal else status
        if pool.logger is not None and pool.logger.pid == pid:
            state_updates.logger_exited(pool, now)
            self.log("warning", f"logger (pid {pid}) died; starting another")
        elif pool.keeper is not None and pool.keeper.pid == pid:
            if not pool.keeper.stop_sent and pool.broker_reached:
                self.log("warning", f"keeper (pid {pid}) died; starting another")
            killed = by_signal and status == signal.SIGKILL
            state_updates.keeper_exited(pool, code, now, killed=killed)
        elif any(pid in (template.pid, template.spare) for template in pool.templates.values()):
            self.templates.exited(pid, code)
        elif (proc := pool.worker(pid)) is not None:
            self._worker_exited(proc, status, by_signal=by_signal)
        elif self._expects_child():
            self._unknown[pid] = (status, by_signal)

    def _expects_child(self) -> bool:
        """Return whether a template may have forked a child whose pid it has not sent yet."""
        templates = self.pool.templates.values()
        return any(proc.state is WorkerState.FORKING for proc in self.pool.procs()) or any(
            template.ready and not template.spare for template in templates
        )

    def _worker_exited(self, proc: WorkerProcess, status: int, *, by_signal: bool) -> None:
        pool, pid, seq, index = self.pool, proc.pid, proc.seq, proc.row
        self.scores.set_dead(index, status if by_signal else 0, 0 if by_signal else status)
        self.wakeups.keeper.wake()
        row = self.scores.read(index)
        booting = row.phase == Phase.BOOT
        if not booting:  # it may have become ready since it was last observed
            state_updates.ready(pool, seq, idle=False)
        gave_reason = booting and status in (BOOT_FAILED, *CANNOT_START)
        id, _, name = self.scores.running_job(index) if row.in_job else ("", "", "")
        job = f"{name} {id}" if row.in_job else ""
        killed_for_job = row.kill_reason != KillReason.NONE  # this was logged when it was killed
        crashed = by_signal or job or (status and not gave_reason)
        if crashed and not killed_for_job:
            during = f" while it ran {job}" if job else ""
            self.log("warning", f"worker {row.slot} (pid {pid}) {describe_exit(row)}{during}")
        code, now = -1 if by_signal else status, monotonic()
        if exits.count(pool, seq, row, now) == "cooldown":
            self.log("info", f"worker {row.slot} (pid {pid}) was replaced: its --cooldown is over")
        load_error = self._load_error.take() if pool.on_trial(row.generation) else None
        why = load_error.why if load_error else ""
        worked, job = row.settled_jobs > 0 or killed_for_job, "" if killed_for_job else job
        refused = state_updates.exited(pool, seq, code, now, why, worked=worked, job=job)
        if refused and pool.generation:
            log_refusal(pool, self.log, row.generation, load_error)
        elif load_error is not None:
            self.log("error", load_error.why)
        elif refused and not gave_reason:
            self.log("error", "the first worker did not become ready, so the pool ends")

    def end_log(self) -> None:
        """Wait until the logger, which is the last process, has written everything."""
        if self.pool.logger is None:
            self.spawn_logger()
        if self.pool.logger is not None:
            logger.stop_logger(self.pool.logger.pid, self.pipes)
