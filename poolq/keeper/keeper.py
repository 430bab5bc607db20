"""The keeper does a node's housekeeping at the broker. It runs no user code and owns no worker.

- The main thread sends heartbeats and recovers dead workers. It looks for dead workers in the
  scoreboard, so that no message about a death can get lost. Each call to the engine is tried once;
  a call that fails is tried again in a later round. A heartbeat that is due is sent before any
  other call, so that nothing delays it.
- It takes over the jobs of other nodes that are dead (`takeover.py`). Then it lets the engine sweep
  (forget old windows and empty queues), for at most half of the time.
- It sends six heartbeats in the shortest `--node-ttl` of all nodes, and at least one every 5 s.
- It outlives a killed master, and sends heartbeats until the last worker has exited.
- It stores the jobs of schedules that are due (`ticker.py`).
- The waiter thread (`waiter.py`) waits on the broker and wakes up idle workers.
- The observer thread (`observer.py`) reads from the broker what dashboards and metrics show.
- The heartbeat thread (`heartbeat.py`) tells the master that the keeper lives while a call to the
  engine takes long.
"""

import os
import select
import socket
from functools import partial
from math import inf
from time import monotonic, monotonic_ns, time_ns
from typing import TYPE_CHECKING

import msgspec
from setproctitle import setproctitle

from poolq.config import Config, open_engine
from poolq.engines.base import Engine, Recovered
from poolq.errors import CANNOT_START, EngineError, EngineRefused, EngineUnavailable, PoolqError
from poolq.keeper.cancel_watch import CancelWatch
from poolq.keeper.failure_detector import FailureDetector
from poolq.keeper.heartbeat import HeartbeatThread
from poolq.keeper.job_progress import read_progress
from poolq.keeper.observer import Observer
from poolq.keeper.orphan_processes import Orphans
from poolq.keeper.resource_samples import ResourceSampler
from poolq.keeper.takeover import DEFAULT_TTL, Takeover, TaskRunner
from poolq.keeper.ticker import Ticker
from poolq.keeper.waiter import Waiter
from poolq.log.events import Cancelled, Crashed, Note, TimedOut
from poolq.log.reporting import Log
from poolq.monitor import node_info
from poolq.monitor.job_counts import SampleRecorder
from poolq.monitor.node_info import NodeInfo
from poolq.scoreboard import layout
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.deaths import death_report, has_quit
from poolq.scoreboard.layout import Phase, RowStatus
from poolq.scoreboard.timeouts import BEATS_PER_TTL, SUSPEND_THRESHOLD, keeper_silence, start_until
from poolq.system import identity
from poolq.system.child_signals import ChildSignals
from poolq.system.identity import worker_name
from poolq.system.wakeups import WakeUps

if TYPE_CHECKING:
    from poolq.monitor.metrics_server import Exporter

FIRST_CONTACT_TIMEOUT = 10.0  # seconds that the first keeper of a pool waits for the broker
RETRY_DELAY = 0.5  # seconds
PROGRESS_INTERVAL = 2.0  # seconds between heartbeats while jobs report their progress, at most
MIN_SWEEP_PAUSE = 0.01  # seconds between two sweeps, at least
LEAVE_TIMEOUT = 5.0  # seconds to recover the last workers at the end
FORGET_QUEUE_AFTER = 600_000_000  # microseconds after which the engine may forget an empty queue


def _own_info(config: Config) -> NodeInfo:
    """Return the unchanging part of what this keeper's heartbeats publish."""
    host = (identity.boot_id(), identity.pid_namespace())
    master, me = os.getppid(), os.getpid()
    poolq, python = node_info.versions()
    return NodeInfo(
        pool=config.name,
        host=socket.gethostname(),
        master=(*host, master, identity.start_time(master) or 0),
        keeper=(*host, me, identity.start_time(me) or 0),
        poolq=poolq,
        python=python,
        session=os.getsid(0),
        queues=node_info.queue_names(config.queue),
        ttl=config.node_ttl,
    )


class Keeper:
    """The keeper of one node. `metrics`: the listening socket for Prometheus, if any."""

    def __init__(
        self,
        config: Config,
        node: str,
        scores: Scoreboard,
        wakeups: WakeUps,
        signals: ChildSignals,
        reporter: Log,
        metrics: socket.socket | None = None,
    ) -> None:
        self._heartbeat = HeartbeatThread(scores, keeper_silence(config.node_ttl))
        self._heartbeat.start()  # before the engine's library is imported, which takes long
        self._metrics = metrics
        self._config = config
        self._node = node
        self._scores = scores
        self._wakeups = wakeups
        self._signals = signals
        self._reporter = reporter
        self._engine: Engine = open_engine(config)
        self._interval = self._takeover_interval = min(config.node_ttl, DEFAULT_TTL) / BEATS_PER_TTL
        self._failure_detector = FailureDetector()
        self._silent: dict[str, int] = {}  # silent nodes, with their counters
        self._known: frozenset[str] = frozenset()
        self._tasks = TaskRunner(self._warn, self._beat_if_due)
        self._takeover = Takeover(
            engine=self._engine,
            node=node,
            own_ttl=config.node_ttl,
            tasks=self._tasks,
            live_workers=self._live_workers,
            warn=self._warn,
            report=self._report,
        )
        self._cancels = CancelWatch(self._engine, node, scores, self._name, wakeups.master.wake)
        generation = partial(scores.word, layout.DECLARED)
        self._ticker = Ticker(self._engine, reporter.report, self._beat_if_due, generation)
        self._unrecovered: set[int] = set()  # seqs; recovery failed since the last heartbeat
        self._orphans = Orphans(scores, self._warn)
        self._next_beat = self._next_takeover = self._next_sweep = -inf
        self._up = True
        self._sampler = ResourceSampler(scores)
        self._recorder = SampleRecorder(scores)
        self._info = _own_info(config)
        scores.set_word(layout.KEEPER_PID, os.getpid())
        scores.set_word(layout.KEEPER_STARTED, self._info.keeper[3])
        self._pause = self._interval  # between the last heartbeat and the next one
        self._clock = 0  # the clock of the engine's server minus ours, in nanoseconds

    def run(self) -> int:
        """Run until told to exit or, if orphaned, until no worker is left. Return the exit code."""
        setproctitle("poolq: keeper")
        self._reporter.rename("keeper")
        exporter = self._export_metrics()
        if code := self._first_contact():
            return code
        waiter = Waiter(self._engine, self._config, self._scores, self._wakeups, self._reporter)
        waiter.start()
        Observer(
            self._engine,
            self._config,
            self._scores,
            self._reporter,
            has_schedules=lambda: self._ticker.any,
        ).start()
        while not self._signals.stopping or self._signals.orphaned:
            self._round()
            self._sampler.sample()
            self._recorder.record()
            if self._signals.orphaned:
                if exporter is not None:
                    exporter.close()  # the next pool needs the port
                    exporter = None
                if all(row.status != RowStatus.LIVE for row in self._scores.used_rows()):
                    break
            self._wait()
        self._leave()
        return 0

    def _export_metrics(self) -> "Exporter | None":
        if self._metrics is None:
            return None
        from poolq.monitor.metrics_server import Exporter  # slow, and few pools need it

        exporter = Exporter(self._metrics, self._scores)
        exporter.start()
        return exporter

    def _first_contact(self) -> int:
        """Wait until the broker answers, check its tables, and take over the jobs of dead pools
        before the first worker starts. Returns 0, or the exit code of the pool."""
        deadline = monotonic() + FIRST_CONTACT_TIMEOUT
        had_contact = self._scores.word(layout.KEEPER_READY)
        while True:
            self._heartbeat.beat()
            try:
                self._clock = self._engine.now() * 1000 - monotonic_ns()
                warnings = [] if had_contact else self._engine.prepare(self._config.procs)
                self._beat()
                if not had_contact:
                    self._take_over()
            except EngineUnavailable as error:
                is_final = isinstance(error, EngineRefused) or monotonic() > deadline
                if (is_final and not had_contact) or self._signals.stopping:
                    return self._log_error(error)
                self._signals.wait(RETRY_DELAY)
            except PoolqError as error:
                code = self._log_error(error)
                return code if code in CANNOT_START else EngineUnavailable.exit_code
            else:
                for text in warnings:
                    self._reporter.report(Note("warning", text))
                self._scores.set_word(layout.KEEPER_READY, 1)
                self._wakeups.master.wake()
                return 0

    def _log_error(self, error: PoolqError) -> int:
        self._reporter.report(Note("error", str(error)))
        self._reporter.flush()
        return error.exit_code

    def _round(self) -> None:
        """Do everything that is due, once."""
        try:
            self._beat_if_due()
            self._recover_rows()
            if self._cancels.is_due():
                self._tasks.run("looking for cancelled jobs", self._cancels.poll)
            if self._ticker.is_due() and not self._signals.stopping:
                self._tasks.run("ticking schedules", self._ticker.run)
            self._take_over()
            self._sweep()
        except EngineUnavailable as error:
            self._lost_broker(error)
        self._reporter.flush()

    def _lost_broker(self, error: EngineUnavailable) -> None:
        self._scores.set_word(layout.BROKER_UP, 0)
        self._failure_detector.interrupted()
        if self._up:
            self._up = False
            self._warn(f"{error}; trying again")
        self._retry_soon()

    def _retry_soon(self) -> None:
        """Send the next heartbeat earlier, since failed calls are repeated with each heartbeat."""
        self._next_beat = min(self._next_beat, monotonic() + RETRY_DELAY)

    def _beat_if_due(self) -> None:
        """Send a heartbeat if one is due. It is called before each other call to the engine."""
        self._heartbeat.beat()
        if monotonic() < self._next_beat:
            return
        self._next_beat = monotonic() + min(RETRY_DELAY, self._interval)
        if not self._tasks.run("the heartbeat", self._beat):
            self._failure_detector.interrupted()
        elif not self._up:
            self._up = True
            self._reporter.report(Note("info", "the engine answers again"))

    def _recover_rows(self) -> None:
        if self._signals.orphaned:
            self._orphans.check()
        for row in self._scores.dead_rows():
            if row.seq in self._unrecovered:
                continue
            self._beat_if_due()  # which clears `_unrecovered`
            self._unrecovered.add(row.seq)  # so that the next round tries the others if this raises
            task = f"recovering worker {row.slot} (pid {row.pid})"
            had_failed = task in self._tasks.failing
            if self._tasks.run(task, partial(self._recover, row)):
                self._unrecovered.discard(row.seq)
            elif not had_failed:
                self._retry_soon()

    def _recover(self, row: Row) -> None:
        name, history = self._name(row), b""
        if has_quit(row) and (job := self._engine.find(self._scores.running_job(row.index)[0])):
            history = job.state.history
        now = time_ns() // 1000
        report = death_report(row, self._info.pool, socket.gethostname(), now, history)
        recovered = self._engine.recover(name, report)
        self._scores.confirm_recovery(row)
        self._report(recovered, f"worker {row.slot} (pid {row.pid}) died")
        self._wakeups.master.wake()

    def _beat(self) -> None:
        """Send a heartbeat, and find silent nodes by the counters that the answer returns."""
        for _ in range(2):
            begun = monotonic()
            counters = self._engine.beat(self._node, node_info.encode(self._current_info()))
            ended = monotonic()
            if ended - begun <= self._interval:
                break
            # If we were suspended meanwhile, the answer is too old, so get a new one.
            self._failure_detector.interrupted()
        was_paused = self._scores.is_paused()
        self._scores.set_word(layout.BROKER_SEEN, monotonic_ns())
        self._scores.set_word(layout.START_UNTIL, start_until(begun, self._config.node_ttl))
        for wakeup in (*self._wakeups.doorbells, self._wakeups.idle) if was_paused else ():
            wakeup.wake()  # workers may start jobs again
        self._scores.set_word(layout.BROKER_UP, 1)
        self._next_beat = ended + self._pause
        self._unrecovered.clear()
        counters.pop(self._node, None)
        silent = self._failure_detector.observe(counters, self._takeover.ttl, begun, ended)
        self._silent = {node: counters[node] for node in silent}
        if counters.keys() - self._known:
            self._next_takeover = ended  # to read the new node's time to live
        self._known = frozenset(counters)

    def _take_over(self) -> None:
        """Take over jobs of this host's dead workers at intervals, and of silent nodes at once."""
        if monotonic() >= self._next_takeover:
            self._next_takeover = monotonic() + self._takeover_interval
            self._next_sweep = min(self._next_sweep, monotonic())
            self._takeover.recover_local()
            interval = self._takeover.shortest_ttl() / BEATS_PER_TTL
            self._interval = min(self._takeover_interval, interval)
            self._next_beat = min(self._next_beat, monotonic() + self._interval)
        silent, self._silent = self._silent, {}
        self._takeover.recover_silent(silent)

    def _sweep(self) -> None:
        """Let the engine sweep half of the time at most, and never while a recovery is due."""
        if monotonic() < self._next_sweep or not self._up or self._to_recover():
            return
        self._beat_if_due()  # here, so that the time of a heartbeat is not part of the sweep's
        begun, unfinished = monotonic(), list[bool]()
        self._tasks.run(
            "sweeping", lambda: unfinished.append(self._engine.sweep(FORGET_QUEUE_AFTER))
        )
        ended = monotonic()
        self._next_sweep = ended + max(MIN_SWEEP_PAUSE, ended - begun) if any(unfinished) else inf

    def _to_recover(self) -> bool:
        return any(row.seq not in self._unrecovered for row in self._scores.dead_rows())

    def _live_workers(self) -> set[str]:
        return {self._name(row) for row in self._scores.used_rows()}

    def _warn(self, text: str) -> None:
        self._reporter.report(Note("warning", text))

    def _current_info(self) -> NodeInfo:
        """What a heartbeat publishes about this node."""
        rows = self._scores.used_rows()
        busy = sum(row.status == RowStatus.LIVE and row.phase == Phase.BUSY for row in rows)
        now = (monotonic_ns() + self._clock) // 1000
        progress = read_progress(self._scores)
        self._pause = min(self._interval, PROGRESS_INTERVAL) if progress else self._interval
        return msgspec.structs.replace(self._info, at=now, busy=busy, progress=progress)

    def _report(self, recovered: Recovered, why: str) -> None:
        for kind, ids in (
            (Crashed, recovered.crashed),
            (TimedOut, recovered.timed_out),
            (Cancelled, recovered.cancelled),
        ):
            for id in ids:
                self._reporter.report(kind(id, why))
        if recovered.done or recovered.returned:
            text = f"{len(recovered.done)} jobs settled as done, {len(recovered.returned)} returned"
            self._reporter.report(Note("info", f"{why}: {text}"))

    def _name(self, row: Row) -> str:
        return worker_name(self._node, row.seq)

    def _soonest(self) -> float:
        """Return when the next call is due. Calls that the next round would not make do not count:
        if they were due, the keeper would loop without a pause."""
        due = [self._next_beat]
        if self._up and not self._to_recover():
            due.append(self._next_sweep)
        if not self._signals.stopping:
            due.append(self._ticker.next_look)
        return min(due)

    def _wait(self) -> None:
        timeout = min(1.0, self._soonest() - monotonic())
        if self._to_recover():
            timeout = min(timeout, RETRY_DELAY)
        if self._signals.orphaned:
            timeout = min(timeout, 0.1)
        begun = monotonic()
        if self._signals.wait(timeout, self._wakeups.keeper.fd):
            self._wakeups.keeper.clear()
        late = monotonic() - begun - max(0.0, timeout)
        if late > SUSPEND_THRESHOLD:
            self._failure_detector.interrupted()
            self._orphans.suspended(late)

    def _leave(self) -> None:
        """Recover the last workers and remove the node. If the master is dead, wait longer for an
        unreachable broker, as nobody else knows what the workers have finished."""
        timeout = max(LEAVE_TIMEOUT, self._config.node_ttl if self._signals.orphaned else 0.0)
        deadline = monotonic() + timeout
        while monotonic() < deadline:
            try:
                self._unrecovered.clear()
                self._recover_rows()
                self._engine.remove_node(self._node)
                break
            except EngineError:
                select.select([], [], [], RETRY_DELAY)
        self._reporter.flush()
        self._engine.close()
