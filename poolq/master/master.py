"""The master: signals and sleeps, looks and applies. It runs no user code, has no broker
connection, and holds no rule of its own: `policy.py` decides.

The loop: drain signals → hear and reap children → read the scoreboard → decide → apply → sleep
until `next_wake`.
"""

import os
import signal
import socket
from collections.abc import Callable
from math import inf
from time import monotonic, monotonic_ns
from typing import Any

from setproctitle import setproctitle

from poolq.config import Config
from poolq.config.parsers import OFF
from poolq.control.protocol import AnswerWithFd
from poolq.control.server import MAX_CLIENTS, ControlServer
from poolq.log.events import Note, Reporter
from poolq.log.pipes import Pipes
from poolq.master import actions, policy, transitions
from poolq.master.actions import Exit
from poolq.master.children import Children
from poolq.master.commands import Commands
from poolq.master.dashboard import DashboardProcess, DashboardProgram
from poolq.master.publisher import StatusPublisher
from poolq.master.requests import Requests
from poolq.master.state import HelperProcess, Limits, Pool, Slot, WorkerEvent, WorkerProcess
from poolq.master.status import StatusReport
from poolq.master.systemd import SystemdNotifier
from poolq.monitor.health import HealthInputs, health_inputs
from poolq.scoreboard import kill_check, layout
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import KillReason, Phase
from poolq.scoreboard.timeouts import BEATS_PER_TIMEOUT, MAX_MISSED_BEATS, keeper_silence
from poolq.system.host import adopt_orphans, raise_descriptor_limit
from poolq.system.identity import is_runnable, node_id, resident_memory, start_time
from poolq.system.kill import handles, kill_group, send
from poolq.system.runtime_folder import PoolLock, pool_folder
from poolq.system.signal_queue import SignalQueue
from poolq.system.wakeups import WakeUps, readable

SUSPEND_THRESHOLD = 1.0  # seconds that the loop may be late before that was no accident
MAX_IDLE_SILENCE = 30  # seconds beyond --sleep without a sign of an idle worker


def run_pool(config: Config, reporter: Reporter, show: DashboardProgram | None = None) -> int:
    """Run until told to stop; the exit code of `poolq run`. `show`: what shows the pool in this
    terminal. Raises PoolStartError, ConfigError."""
    served = None
    if config.metrics != OFF:
        from poolq.monitor.exporter import listen  # slow: it brings Python's own web server

        served = listen(config.metrics, config.sources.get("metrics", "code"))
    return Master(
        config, reporter, PoolLock(config.name, pool_folder(os.environ)), show, served
    ).run()


class Master:
    """One pool's master process. `hold`: its name, and the socket through which it is spoken to;
    `served`: the port of its metrics."""

    def __init__(
        self,
        config: Config,
        reporter: Reporter,
        hold: PoolLock,
        show: DashboardProgram | None = None,
        served: socket.socket | None = None,
    ) -> None:
        self._config = config
        self._reporter = reporter
        self._hold = hold
        node, rows = node_id(), config.procs * 3 + 32
        raise_descriptor_limit(3 * rows + 80 + MAX_CLIENTS)
        self._scores = Scoreboard(rows, node=node)
        self._scores.set_master(os.getpid(), start_time(os.getpid()) or 0)
        self._view = self._scores.open_readonly()
        self._wakeups = WakeUps(rows)
        pipes = Pipes(rows)
        self._signals = SignalQueue()
        self._notifier = SystemdNotifier(os.environ)
        slots = [Slot(number) for number in range(1, config.procs + 1)]
        self.pool = Pool(_limits(config, preload=not config.no_preload and adopt_orphans()), slots)
        self._children = Children(
            config, node, self.pool, self._scores, self._wakeups, reporter, self._log,
            self._private, pipes, served,
        )  # fmt: skip
        self._dashboard = DashboardProcess(
            show, self._scores, self._log, self._children.close_for,
            pipes.writers.named("dashboard"),
        )  # fmt: skip
        self._commands = Commands(config, self.pool, self._scores, self._wakeups, self._log)
        worker_rows = self._children.rows
        self._publisher = StatusPublisher(config, node, self.pool, self._scores, worker_rows)
        report = StatusReport(config, os.getpid(), self.pool, self._scores, worker_rows)
        requests = Requests(self.pool, self._commands, report.collect, self._signs, self._hand)
        self._control = ControlServer(hold.listener, requests.handle)
        # Its own end does not block: what does not fit is dropped and counted.
        reporter.attach(
            "master", pipes.writers.named("master"), pipes.writers.token,
            on_event=self._scores.recent_events("master").add, streams=False,
        )  # fmt: skip
        self._applied = self._appliers()

    def _appliers(self) -> dict[type, Callable[[Any], None]]:
        """What carries out each kind of action."""
        return {
            actions.SpawnLogger: lambda _: self._children.spawn_logger(),
            actions.SpawnKeeper: lambda _: self._children.spawn_keeper(),
            actions.SpawnTemplate: lambda one: self._children.templates.start(one.generation),
            actions.SpawnWorker: lambda one: self._children.spawn(one.slot, one.generation),
            actions.Stop: self._stop,
            actions.Kill: self._kill,
            actions.CheckCode: self._ask,
            actions.DumpStack: self._dump,
            actions.KillOverrun: self._overrun,
        }

    def run(self) -> int:
        setproctitle("poolq: master")
        self._signals.install()
        config = self._config
        served = ", ".join(config.queue) if config.queue else "all queues"
        workers = f"{config.procs} worker{'s' * (config.procs > 1)}"
        self._log("info", f"pool {config.name} starts: {workers}, {served}")
        transitions.reload(self.pool, "start")
        while True:
            for name in self._signals.take():
                self._commands.signal(name)
            self._children.templates.hear()
            self._children.reap()
            looked = monotonic_ns()
            self._look()
            self._keep_name()
            self._control.serve(monotonic())
            self._notifier.notify(self.pool, monotonic())
            for action in policy.decide(self.pool, monotonic(), self._scores.unrecovered()):
                if isinstance(action, Exit):
                    self._log("info", f"pool {config.name} has ended")
                    self._dashboard.end()
                    self._children.end_log()
                    self._hold.release()
                    self._control.end({"ok": True, "code": action.code})
                    return action.code
                self._applied[type(action)](action)
            self._publisher.publish()
            now = monotonic()
            self._dashboard.tend(now)
            pauses = (
                self._notifier.next_due(now),
                self._control.next_due(),
                self._dashboard.next_due(now),
            )
            due = now + min(policy.next_wake(self.pool, now), *pauses)
            due = self._scores.announce_check(round(due * 1e9), looked) / 1e9
            self._sleep(max(0.0, due - monotonic()))
            self._excuse(now, due)

    def _sleep(self, timeout: float) -> None:
        fds = [self._signals.fd, self._wakeups.master.fd, self._control.fd]
        lines = self._children.templates.fds()
        ready = readable(fds + lines, timeout)
        if self._wakeups.master.fd in ready:
            self._wakeups.master.clear()

    def _private(self) -> tuple[int, ...]:
        """What no child may keep."""
        ours = (self._signals.fd, self._signals.write, self._view)
        others = (*self._control.private(), *self._dashboard.private())
        return (*ours, *self._hold.descriptors(), *others)

    def _signs(self) -> HealthInputs:
        return health_inputs(self._scores, self._publisher.current(), monotonic_ns())

    def _hand(self) -> AnswerWithFd:
        return AnswerWithFd({"ok": True, "rows": self._scores.rows}, self._view)

    def _keep_name(self) -> None:
        listener = self._hold.listener
        if said := self._hold.restore_files(monotonic()):
            self._log(*said)
        if self._hold.listener is not listener:
            self._control.listen(self._hold.listener)

    def _excuse(self, slept: float, due: float) -> None:
        """Woken much too late: we were stopped, and perhaps all were, since we slept."""
        now = monotonic()
        if now - due > SUSPEND_THRESHOLD:
            transitions.suspended(self.pool, now - slept, now)
            self._log("warning", f"pool {self._config.name} was suspended for {now - due:.1f} s")

    # looking

    def _look(self) -> None:
        """Read what keeper and workers have written."""
        now, pool, scores = monotonic(), self.pool, self._scores
        scores.free_recovered()
        if pool.keeper is not None:
            self._look_at_keeper(pool.keeper, scores.word(layout.KEEPER_BEAT), now)
        if pool.logger is not None:
            pool.logger.beat.observe(scores.word(layout.LOGGER_BEAT), now)
        pool.broker_reached = pool.broker_reached or bool(scores.word(layout.KEEPER_READY))
        empty = self._config.until_empty and scores.word(layout.KEEPER_EMPTY)
        if empty and transitions.stop(pool, now):
            self._log("info", "the queues are empty: leaving")
        weighed = scores.word(layout.USAGE_SAMPLED) / 1e9  # before what it tells of
        for proc in pool.procs():
            if proc.pid:
                self._look_at(proc, scores.read(self._children.rows[proc.seq]), now, weighed)

    def _look_at_keeper(self, keeper: HelperProcess, beat: int, now: float) -> None:
        keeper.beat.observe(beat, now)
        every = self.pool.limits.keeper_silence / BEATS_PER_TIMEOUT
        if every < MAX_MISSED_BEATS / BEATS_PER_TIMEOUT and (
            beat != keeper.quick_beat.value or not is_runnable(keeper.pid)
        ):
            keeper.quick_beat.observe(beat, now, every)

    def _look_at(self, proc: WorkerProcess, row: Row, now: float, weighed: float) -> None:
        proc.beat.observe(row.beat, now)
        if row.phase == Phase.BOOT:
            if row.beat > 0:
                proc.move(WorkerEvent.LOADED)
            return
        trial, idle = self.pool.trial, row.phase == Phase.IDLE
        proved = transitions.ready(self.pool, proc.seq, idle=idle)
        if proved and trial is not None and trial.why != "start":
            self._log("info", f"generation {trial.generation} is good: the others follow")
        proc.jobs = row.settled_jobs
        proc.initial_rss = proc.initial_rss or resident_memory(
            proc.pid
        )  # the keeper's sample may come too late
        proc.running = kill_check.running(row)
        proc.running_since = row.since / 1e9
        proc.rss_at_start = row.rss_at_start
        transitions.sampled(self.pool, proc, row.rss, weighed)
        if proc.dump is not None:
            proc.dump.written = kill_check.has_dumped(proc.pid)
        proc.deadline = row.deadline / 1e9 if row.has_deadline else inf
        if proc.running_since < proc.resumed_at:
            proc.deadline += proc.suspend_credit
        if not proc.recycle_reason and (why := transitions.check_limits(self.pool, proc)):
            self._log("info", f"worker {row.slot} (pid {proc.pid}) is spent: {why}")

    # applying

    def _stop(self, action: actions.Stop) -> None:
        """The word in its row is what counts, the rest wakes it up. A job may have given up its
        worker's handler: then the signal would kill it."""
        pid, row = action.pid, self._children.row_of(action.pid)
        if row is not None:
            self._scores.request_stop(row)
            self._wakeups.doorbells[row].wake()
        self._children.templates.stop(pid)
        if row is None or handles(pid, signal.SIGTERM):
            send(pid, signal.SIGTERM)
        transitions.signalled(self.pool, pid, monotonic(), killed=False)

    def _kill(self, action: actions.Kill) -> None:
        pid, row = action.pid, self._children.row_of(action.pid)
        if action.booting and row is not None and kill_check.has_come_up(pid, self._scores, row):
            return
        self._log("warning", f"{action.why}; killed")
        if row is not None:
            self._scores.suppress_crash(row)
        kill_group(action.pid)
        transitions.signalled(self.pool, action.pid, monotonic(), killed=True)

    def _ask(self, action: actions.CheckCode) -> None:
        proc = self.pool.find(action.seq)
        if proc is not None:
            proc.code_asked_at = monotonic()
            self._children.templates.ask(action.generation, action.seq)

    def _dump(self, action: actions.DumpStack) -> None:
        proc = self._proc(action.pid)
        transitions.dump_asked(proc, action.running, monotonic())
        send(action.pid, signal.SIGUSR2)

    def _overrun(self, action: actions.KillOverrun) -> None:
        """Kill it if it still runs the very job for which its stack was dumped."""
        proc, index = self._proc(action.pid), self._children.row_of(action.pid)
        if index is None:
            return
        reason = kill_check.verdict(
            action.pid, self._scores, index, action.running, heavy=proc.over_limit
        )
        proc.dump = None
        if reason == KillReason.NONE:
            return
        self._scores.set_kill_reason(index, reason)
        row = self._scores.read(index)
        id, _, job = self._scores.running_job(index)
        over = (
            f"overran its {row.timeout / 1e6:g} s by {monotonic() - row.deadline / 1e9:.1f} s"
            if reason == KillReason.TIMEOUT
            else f"holds {row.rss >> 20} MiB, over --max-memory-hard"
        )
        self._log("warning", f"worker {row.slot} (pid {row.pid}) {over}; killed; job {job} {id}")
        kill_group(action.pid)
        transitions.signalled(self.pool, action.pid, monotonic(), killed=True)

    def _proc(self, pid: int) -> WorkerProcess:
        return next(proc for proc in self.pool.procs() if proc.pid == pid)

    def _log(self, level: str, text: str) -> None:
        self._reporter.report(Note(level, text))
        self._reporter.flush()


def _limits(config: Config, *, preload: bool) -> Limits:
    return Limits(
        cooldown=config.cooldown,
        stop_timeout=config.stop_timeout,
        boot_timeout=config.boot_timeout,
        max_jobs=config.max_jobs,
        max_memory=config.max_memory,
        max_memory_hard=config.max_memory_hard,
        max_surge=config.max_surge,
        max_spawn_failures=config.max_spawn_failures,
        max_missed_beats=round(config.sleep) + MAX_IDLE_SILENCE,
        preload=preload,
        has_logger=True,
        keeper_silence=keeper_silence(config.node_ttl),
    )
