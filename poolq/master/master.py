"""The master process. It handles signals, observes the pool, and carries out what `policy.py`
decides. It runs no user code, has no broker connection, and makes no decision of its own.

Its loop: take signals → receive from templates, reap children → read the scoreboard → decide →
apply → sleep until something is due.
"""

import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from math import inf
from time import monotonic, monotonic_ns
from typing import Any

import msgspec
from setproctitle import setproctitle

from poolq.config import Config
from poolq.config.parsers import OFF
from poolq.control.protocol import AnswerWithFd
from poolq.control.server import MAX_CLIENTS, ControlServer
from poolq.log.events import Note
from poolq.log.pipes import Pipes
from poolq.log.reporting import Log
from poolq.master import actions, canary, policy, recycling, state_updates
from poolq.master.actions import Exit
from poolq.master.children import Children
from poolq.master.commands import Commands
from poolq.master.dashboard import DashboardProcess, DashboardProgram
from poolq.master.signal_commands import SignalCommands
from poolq.master.socket_requests import Requests
from poolq.master.state import (
    HelperProcess,
    Limits,
    Pool,
    Slot,
    StackDump,
    WorkerEvent,
    WorkerProcess,
)
from poolq.master.status import Status
from poolq.master.systemd import SystemdNotifier
from poolq.monitor.health import why_not
from poolq.scoreboard import kill_check, layout, timeouts
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import KillReason, Phase
from poolq.system.host import adopt_orphans, raise_descriptor_limit
from poolq.system.identity import is_runnable, node_id, resident_memory, start_time
from poolq.system.kill import has_handler, kill_group, send
from poolq.system.runtime_folder import PoolLock, pool_folder
from poolq.system.signal_queue import SignalQueue
from poolq.system.wakeups import WakeUps, readable

MAX_IDLE_SILENCE = 30  # an idle worker may be silent for --sleep plus this many seconds


def run_pool(config: Config, reporter: Log, dashboard: DashboardProgram | None = None) -> int:
    """Run a pool until it ends. Returns the exit code of `poolq run`. `dashboard` shows the pool in
    this terminal. Raises PoolStartError or ConfigError."""
    metrics = None
    if config.metrics != OFF:
        from poolq.monitor.metrics_server import listen  # slow: it imports Python's web server

        metrics = listen(config.metrics, config.sources.get("metrics", "code"))
    lock = PoolLock(config.name, pool_folder(os.environ))
    return Master(config, reporter, lock, dashboard, metrics).run()


class Master:
    """The master of one pool. `lock` holds the pool's name and its listening control socket;
    `metrics` is the listening socket for Prometheus, which the keeper serves."""

    def __init__(
        self,
        config: Config,
        reporter: Log,
        lock: PoolLock,
        dashboard: DashboardProgram | None = None,
        metrics: socket.socket | None = None,
    ) -> None:
        node, rows = node_id(), config.procs * 3 + 32
        raise_descriptor_limit(3 * rows + 80 + MAX_CLIENTS)
        self._config = config
        self._reporter = reporter
        self._lock = lock
        self._scores = Scoreboard(rows, node=node)
        self._scores.set_master(os.getpid(), start_time(os.getpid()) or 0)
        self._readonly_scores = self._scores.open_readonly()
        self._wakeups = WakeUps(rows)
        self._signals = SignalQueue()
        self._notifier = SystemdNotifier(os.environ)
        pipes = Pipes(rows)
        self.pool = Pool(_limits(config), [Slot(number + 1) for number in range(config.procs)])
        self._children = Children(
            config=config,
            node=node,
            pool=self.pool,
            scores=self._scores,
            wakeups=self._wakeups,
            reporter=reporter,
            log=self._log,
            descriptors=self._descriptors,
            pipes=pipes,
            metrics=metrics,
        )
        self._dashboard = DashboardProcess(
            dashboard, self._scores, self._log, self._children.closed_in_child, pipes
        )
        commands = Commands(config, self.pool, self._scores, self._wakeups, self._log)
        self._signal_commands = SignalCommands(commands, self.pool, self._log)
        self._status = Status(config, node, self.pool, self._scores)
        self._control = ControlServer(lock.listener, self._requests(commands).handle)
        self._appliers = self._make_appliers()
        # The master's pipe does not block: what does not fit is dropped and counted.
        self._reporter.attach(
            "master",
            pipes.writers.named("master"),
            pipes.writers.token,
            on_event=self._scores.recent_events("master").add,
            streams=False,
        )

    def _requests(self, commands: Commands) -> Requests:
        answer = {"ok": True, "rows": self._scores.rows}
        attach = partial(AnswerWithFd, answer, self._readonly_scores)
        return Requests(self.pool, commands, self._status.report, self._health, attach)

    def run(self) -> int:
        setproctitle("poolq: master")
        self._signals.install()
        config = self._config
        served = ", ".join(config.queue) if config.queue else "all queues"
        workers = f"{config.procs} worker{'s' * (config.procs > 1)}"
        self._log("info", f"pool {config.name} starts: {workers}, {served}")
        canary.reload(self.pool, "start")
        while True:
            for name in self._signals.take():
                self._signal_commands.obey(name)
            self._children.templates.receive()
            self._children.reap()
            observed = monotonic_ns()
            self._observe()
            self._restore_lock()
            self._control.serve(monotonic())
            self._notifier.notify(self.pool, monotonic())
            for action in policy.decide(self.pool, monotonic(), self._scores.unrecovered()):
                if isinstance(action, Exit):
                    return self._end(action.code)
                self._appliers[type(action)](action)
            self._status.publish()
            now = monotonic()
            self._dashboard.tend(now)
            due = now + min(
                policy.next_wake(self.pool, now),
                self._notifier.next_due(now),
                self._dashboard.next_due(now),
            )
            due = self._scores.announce_check(round(due * 1e9), observed) / 1e9
            self._sleep(max(0.0, due - monotonic()))
            self._detect_suspension(now, due)

    def _sleep(self, timeout: float) -> None:
        fds = [self._signals.fd, self._wakeups.master.fd, self._control.fd]
        if self._wakeups.master.fd in readable(fds + self._children.templates.fds(), timeout):
            self._wakeups.master.clear()

    def _detect_suspension(self, slept: float, due: float) -> None:
        """If we have woken up long after `due`, we were suspended, so move all deadlines."""
        now = monotonic()
        if now - due > timeouts.SUSPEND_THRESHOLD:
            state_updates.suspended(self.pool, now - slept, now)
            self._log("warning", f"pool {self._config.name} was suspended for {now - due:.1f} s")

    def _end(self, code: int) -> int:
        self._log("info", f"pool {self._config.name} has ended")
        self._dashboard.end()
        self._children.end_log()
        self._lock.release()
        self._control.end({"ok": True, "code": code})
        return code

    def _descriptors(self) -> tuple[int, ...]:
        """The descriptors that every child must close."""
        fds = (self._signals.fd, self._signals.write, self._readonly_scores)
        served = (*self._control.descriptors(), *self._dashboard.descriptors())
        return (*fds, *self._lock.descriptors(), *served)

    def _health(self, probe: str) -> str:
        return why_not(probe, self._scores, self._status.current(), monotonic_ns())

    def _restore_lock(self) -> None:
        """Recreate the files of the lock if somebody has deleted them."""
        listener = self._lock.listener
        if note := self._lock.restore_files(monotonic()):
            self._log(*note)
        if self._lock.listener is not listener:
            self._control.listen(self._lock.listener)

    # observing

    def _observe(self) -> None:
        """Read what keeper, logger and workers have written into the scoreboard."""
        now, pool, scores = monotonic(), self.pool, self._scores
        scores.free_recovered()
        if pool.keeper is not None:
            self._observe_keeper(pool.keeper, scores.word(layout.KEEPER_BEAT), now)
        if pool.logger is not None:
            pool.logger.beat.observe(scores.word(layout.LOGGER_BEAT), now)
        pool.broker_reached = pool.broker_reached or bool(scores.word(layout.KEEPER_READY))
        pool.queues_empty = bool(scores.word(layout.KEEPER_EMPTY))
        sampled_at = scores.word(layout.USAGE_SAMPLED) / 1e9  # read first: the rows are never older
        for proc in pool.procs():
            if proc.pid:
                row = scores.read(proc.row)
                self._observe_worker(proc, row, now, sampled_at)

    def _observe_keeper(self, keeper: HelperProcess, beat: int, now: float) -> None:
        keeper.beat.observe(beat, now)
        interval = self.pool.limits.keeper_silence / timeouts.BEATS_PER_TIMEOUT
        quick = interval < timeouts.MAX_MISSED_BEATS / timeouts.BEATS_PER_TIMEOUT
        if quick and (beat != keeper.quick_beat.value or not is_runnable(keeper.pid)):
            keeper.quick_beat.observe(beat, now, interval)

    def _observe_worker(self, proc: WorkerProcess, row: Row, now: float, sampled_at: float) -> None:
        proc.beat.observe(row.beat, now)
        if row.phase == Phase.BOOT:
            if row.beat > 0 and not proc.ready:  # if it is ready, a job has overwritten its phase
                proc.move(WorkerEvent.LOADED)
            return
        trial, idle = self.pool.trial, row.phase == Phase.IDLE
        accepted = state_updates.ready(self.pool, proc.seq, idle=idle)
        if accepted and trial is not None and trial.why != "start":
            text = f"generation {trial.generation} is accepted: the other workers follow"
            self._log("info", text)
        proc.jobs = row.settled_jobs
        if not proc.initial_rss:
            proc.initial_rss = resident_memory(proc.pid)  # the keeper may sample it too late
        proc.running = kill_check.running_job(row)
        proc.running_since = row.since / 1e9
        proc.rss_at_start = row.rss_at_start
        recycling.sampled(self.pool, proc, row.rss, sampled_at)
        if proc.dump is not None:
            proc.dump.written = kill_check.has_dumped_stack(proc.pid)
        proc.deadline = row.deadline / 1e9 if row.has_deadline else inf
        proc.cancel_at = row.cancel_due / 1e9 if row.is_job_cancelled else inf
        if proc.running_since < proc.resumed_at:
            proc.deadline += proc.suspend_credit
        if not proc.recycle_reason and (why := recycling.check_limits(self.pool, proc)):
            self._log("info", f"worker {row.slot} (pid {proc.pid}) will be replaced: {why}")

    # applying

    def _make_appliers(self) -> dict[type, Callable[[Any], None]]:
        """Return what carries out each kind of action."""
        children = self._children
        return {
            actions.SpawnLogger: lambda _: children.spawn_logger(),
            actions.SpawnKeeper: lambda _: children.spawn_keeper(),
            actions.SpawnTemplate: lambda action: children.templates.start(action.generation),
            actions.SpawnWorker: lambda action: children.spawn(action.slot, action.generation),
            actions.Stop: self._stop,
            actions.Kill: self._kill,
            actions.DumpStack: self._dump_stack,
            actions.KillJob: self._kill_job,
            actions.Drain: self._drain,
        }

    def _drain(self, action: actions.Drain) -> None:
        self._log("info", action.why)
        state_updates.stop(self.pool, monotonic())
        self._wakeups.master.wake()  # decide again at once: the workers are to be stopped

    def _stop(self, action: actions.Stop) -> None:
        """Tell a process to exit. A worker reads this request from its row, and TERM only wakes it
        up. If a job has removed the worker's handler, TERM is not sent, as it would be fatal."""
        pid, proc = action.pid, self.pool.worker(action.pid)
        if proc is not None:
            self._scores.request_stop(proc.row)
            self._wakeups.doorbells[proc.row].wake()
        self._children.templates.stop(pid)
        if proc is None or has_handler(pid, signal.SIGTERM):
            send(pid, signal.SIGTERM)
        state_updates.signalled(self.pool, pid, monotonic(), killed=False)

    def _kill(self, action: actions.Kill) -> None:
        pid, proc = action.pid, self.pool.worker(action.pid)
        if proc is not None:
            if action.booting and not kill_check.still_boots(pid, self._scores, proc.row):
                return
            self._scores.suppress_crash(proc.row)
        self._log("warning", f"{action.why}; killed")
        kill_group(pid)
        state_updates.signalled(self.pool, pid, monotonic(), killed=True)

    def _dump_stack(self, action: actions.DumpStack) -> None:
        if (proc := self.pool.worker(action.pid)) is not None:
            proc.dump = StackDump(action.running, monotonic())
            send(action.pid, signal.SIGUSR2)

    def _kill_job(self, action: actions.KillJob) -> None:
        """Kill a worker if it still runs the job that must end."""
        proc = self.pool.worker(action.pid)
        if proc is None:
            return
        dump, proc.dump = proc.dump, None
        dumped = dump is not None and dump.running == action.running

        def judge(row: Row) -> KillReason:
            if kill_check.grace_is_over(row):
                return KillReason.CANCELLED
            if dumped and row.has_deadline and monotonic() >= row.deadline / 1e9:
                return KillReason.TIMEOUT
            return KillReason.MEMORY if dumped and proc.over_limit else KillReason.NONE

        row = self._scores.read(proc.row)
        if killed := kill_check.kill_worker(self._scores, row, action.running, judge):
            grace = "the grace of a cancelled job is over: "
            why = grace if killed.reason == KillReason.CANCELLED else ""
            self._log("warning", f"{why}{killed}")
            state_updates.signalled(self.pool, action.pid, monotonic(), killed=True)

    def _log(self, level: str, text: str) -> None:
        self._reporter.report(Note(level, text))
        self._reporter.flush()


def _limits(config: Config) -> Limits:
    """Return a pool's limits. Nothing is preloaded if the master cannot adopt workers."""
    return msgspec.structs.replace(
        msgspec.convert(config, Limits, from_attributes=True),  # copies fields of the same names
        max_missed_beats=round(config.sleep) + MAX_IDLE_SILENCE,
        preload=not config.no_preload and adopt_orphans(),
        has_logger=True,
        keeper_silence=timeouts.keeper_silence(config.node_ttl),
        keeper_pause=timeouts.keeper_pause(config.node_ttl),
    )
