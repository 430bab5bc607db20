"""The keeper: the node's housekeeping at the broker. It runs no user code and owns no worker.

- Main thread: beats, recovers dead workers (at every bell and every beat, from the scoreboard, so
  that no message can be lost), reaps silent nodes. Every exchange is one try; what fails comes
  again with the next round.
- It outlives a killed master and beats until the last worker has left.
- The waiter thread (`waiter.py`) waits on the broker and rings idle workers.
- The observer thread (`observer.py`) asks the broker what people want to see.
"""

import os
import select
import socket
from time import monotonic, monotonic_ns, time_ns
from typing import TYPE_CHECKING

import msgspec
from setproctitle import setproctitle

from poolq.config import Config, open_engine
from poolq.engines.base import Engine, Recovered
from poolq.errors import EngineError, EngineUnavailable, PoolqError
from poolq.pool import nodes
from poolq.pool import scoreboard as board
from poolq.pool.bells import Bells
from poolq.pool.names import worker_name
from poolq.pool.namesakes import Namesakes
from poolq.pool.nodes import Info
from poolq.pool.observer import Observer
from poolq.pool.orphans import Orphans, end_abandoned, end_left_behind
from poolq.pool.recovery import death
from poolq.pool.samples import Recorder
from poolq.pool.scales import Scales
from poolq.pool.scoreboard import Row, Scoreboard, Status
from poolq.pool.silence import Silence
from poolq.pool.state import TELLING
from poolq.pool.waiter import Waiter
from poolq.worker import identity
from poolq.worker.events import Crashed, Note, Reporter, TimedOut
from poolq.worker.signals import Signals

if TYPE_CHECKING:
    from poolq.pool.exporter import Exporter

PATIENCE = 10.0  # seconds that a first start waits for the broker
BEATS = 6  # a node's life in beats
RETRY = 0.5
LAST_TRIES = 5.0
SUSPENDED = 1.0  # seconds that a sleep may be late before we were stopped meanwhile


class Keeper:
    """One node's keeper; see the module's head."""

    def __init__(
        self,
        config: Config,
        node: str,
        scores: Scoreboard,
        bells: Bells,
        signals: Signals,
        reporter: Reporter,
        served: socket.socket | None = None,
    ) -> None:
        self._served = served
        self._config = config
        self._node = node
        self._scores = scores
        self._bells = bells
        self._signals = signals
        self._reporter = reporter
        self._engine: Engine = open_engine(config)
        self._interval = config.node_ttl / BEATS
        self._silence = Silence(BEATS)
        self._namesakes = Namesakes(config.name)
        self._orphans = Orphans(scores, lambda text: reporter.report(Note("warning", text)))
        self._next_beat = 0.0
        self._up = True
        self._scales = Scales(scores)
        self._recorder = Recorder(scores)
        place = (identity.boot_id(), identity.pid_namespace())
        master, me = os.getppid(), os.getpid()
        self._info = Info(
            config.name,
            socket.gethostname(),
            (*place, master, identity.started(master) or 0),
            (*place, me, identity.started(me) or 0),
            0, 0, *nodes.versions(), os.getsid(0), nodes.named(config.queue),
        )  # fmt: skip
        self._clock = 0  # of the engine's server, less ours: nanoseconds

    def run(self) -> int:
        """Until told to leave, or until the orphaned workers have left. Returns the exit code."""
        setproctitle("poolq: keeper")
        self._reporter.rename("keeper")
        serving = self._serve()
        if code := self._first_contact():
            return code
        waiter = Waiter(self._engine, self._config, self._scores, self._bells, self._reporter)
        waiter.start()
        Observer(self._engine, self._config, self._scores, self._reporter).start()
        while not self._signals.stopping or self._signals.orphaned:
            self._scores.tell(board.KEEPER_BEAT, monotonic_ns())
            self._round()
            self._scales.weigh()
            self._recorder.record()
            if self._signals.orphaned:
                if serving is not None:
                    serving.close()  # the next pool wants the port
                    serving = None
                if not self._workers_left():
                    break
            self._wait()
        self._leave()
        return 0

    def _serve(self) -> "Exporter | None":
        """Show the metrics, if somebody wants them."""
        if self._served is None:
            return None
        from poolq.pool.exporter import Exporter  # slow, see there

        exporter = Exporter(self._served, self._scores)
        exporter.start()
        return exporter

    def _first_contact(self) -> int:
        """The broker answers, with tables of our version; else the exit code of the pool."""
        deadline = monotonic() + PATIENCE
        while True:
            self._scores.tell(board.KEEPER_BEAT, monotonic_ns())
            try:
                self._clock = self._engine.now() * 1000 - monotonic_ns()
                self._beat()
            except EngineUnavailable as error:
                had_contact = self._scores.told(board.KEEPER_READY)
                if (monotonic() > deadline and not had_contact) or self._signals.stopping:
                    return self._say(error)
                self._signals.wait(RETRY)
            except PoolqError as error:
                code = self._say(error)
                return code if code in TELLING else EngineUnavailable.exit_code
            else:
                self._scores.tell(board.KEEPER_READY, 1)
                self._bells.master.ring()
                return 0

    def _say(self, error: PoolqError) -> int:
        self._reporter.report(Note("error", str(error)))
        self._reporter.flush()
        return error.exit_code

    def _round(self) -> None:
        """One pass over everything that may be due."""
        try:
            self._recover_rows()
            if monotonic() >= self._next_beat:
                self._beat()
                if not self._up:
                    self._up = True
                    self._reporter.report(Note("info", "the broker answers again"))
        except EngineUnavailable as error:
            self._scores.tell(board.BROKER_UP, 0)
            if self._up:
                self._up = False
                self._reporter.report(Note("warning", f"{error}; trying again"))
            self._next_beat = monotonic() + min(RETRY, self._interval)
        except PoolqError as error:
            self._reporter.report(Note("error", f"keeper: {error}"))
            self._next_beat = monotonic() + self._interval
        self._reporter.flush()

    def _recover_rows(self) -> None:
        if self._signals.orphaned:
            self._orphans.look()
        for row in self._scores.lost():
            name = self._name(row)
            words = death(row, name, socket.gethostname(), time_ns() // 1000)
            recovered = self._engine.recover(name, words)
            self._scores.confirm(row)
            self._tell(recovered, f"worker {row.slot} (pid {row.pid}) died")
            self._bells.master.ring()

    def _beat(self) -> None:
        """Be seen alive; look for workers and nodes that are not."""
        begun = monotonic()
        counters = self._engine.beat(self._node, nodes.encode(self._now()))
        if monotonic() - begun > self._interval:
            # Were we stopped meanwhile, the answer is an old one, and we were silent since.
            counters = self._engine.beat(self._node, nodes.encode(self._now()))
        self._scores.tell(board.BROKER_SEEN, monotonic_ns())
        self._scores.tell(board.BROKER_UP, 1)
        self._next_beat = monotonic() + self._interval
        self._recover_registered()
        counters.pop(self._node, None)
        for node in self._silence.heard(counters):
            self._end_abandoned(node)
            recovered_node = self._engine.reap(node, counters[node])
            if recovered_node is not None:
                self._tell(recovered_node, f"node {node} was silent")

    def _recover_registered(self) -> None:
        """Workers without a process: ours that no row shows, and those of a dead pool here."""
        registered = self._engine.registered()
        alive = {self._name(row) for row in self._scores.all()}  # after: no newborn is missing
        others = [node for node in self._engine.nodes() if node.node != self._node]
        dead = {node.node: node.info for node in others if self._pool_is_gone(node.info)}
        for other in others:
            if warning := self._namesakes.heard(other.info):
                self._reporter.report(Note("warning", warning))
        for worker in registered:
            ours = worker.node == self._node and worker.worker not in alive
            left = worker.node in dead and identity.gone(worker)
            if left:
                end_left_behind(worker, nodes.session(dead[worker.node]))
            if ours or left:
                recovered = self._engine.recover(worker.worker, None)
                self._tell(recovered, f"worker {worker.worker} of pool {worker.pool} was gone")
        alive_yet = {worker.node for worker in registered if not identity.gone(worker)}
        for node in dead.keys() - alive_yet:
            self._engine.leave(node)

    def _end_abandoned(self, node: str) -> None:
        """A pool that has lost master and keeper has nobody who ends a job that hangs."""
        others = [one for one in self._engine.nodes() if one.node == node]
        if any(self._pool_is_gone(one.info) for one in others):
            left = [one for one in self._engine.registered() if one.node == node]
            if ended := end_abandoned(left):
                text = f"node {node} has lost its master and keeper: killed {ended} workers of it"
                self._reporter.report(Note("warning", text))

    def _now(self) -> Info:
        """What this node tells of itself now."""
        busy = sum(row.status == Status.LIVE and row.in_job for row in self._scores.all())
        at = (monotonic_ns() + self._clock) // 1000
        return msgspec.structs.replace(self._info, at=at, busy=busy)

    @staticmethod
    def _pool_is_gone(info: bytes) -> bool:
        """True if master and keeper of a pool ran here and are no more. While either lives, it
        knows more of its dead workers than we do."""
        found = nodes.decode(info)
        if found is None:
            return False
        return all(identity.gone_here(*process) for process in (found.master, found.keeper))

    def _tell(self, recovered: Recovered, why: str) -> None:
        for id in recovered.crashed:
            self._reporter.report(Crashed(id, why))
        for id in recovered.timed_out:
            self._reporter.report(TimedOut(id, why))
        if recovered.done or recovered.returned:
            text = (
                f"{len(recovered.done)} jobs settled as done, {len(recovered.returned)} given back"
            )
            self._reporter.report(Note("info", f"{why}: {text}"))

    def _name(self, row: Row) -> str:
        return worker_name(self._node, row.seq)

    def _wait(self) -> None:
        timeout = min(1.0, self._next_beat - monotonic())
        if self._scores.lost():
            timeout = min(timeout, RETRY)
        if self._signals.orphaned:
            timeout = min(timeout, 0.1)
        begun = monotonic()
        if self._signals.wait(timeout, self._bells.keeper.fd):
            self._bells.keeper.quiet()
        late = monotonic() - begun - max(0.0, timeout)
        if late > SUSPENDED:
            self._orphans.suspended(late)

    def _workers_left(self) -> bool:
        return any(row.status == Status.LIVE for row in self._scores.all())

    def _leave(self) -> None:
        """Recover what is left and forget the node; a broker that is down is not waited for, but
        by an orphan, as nobody else knows what its workers have finished."""
        patience = max(LAST_TRIES, self._config.node_ttl if self._signals.orphaned else 0.0)
        deadline = monotonic() + patience
        while monotonic() < deadline:
            try:
                self._recover_rows()
                self._engine.leave(self._node)
                break
            except EngineError:
                select.select([], [], [], RETRY)
        self._reporter.flush()
        self._engine.close()
