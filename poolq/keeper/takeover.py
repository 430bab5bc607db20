"""Takes over the jobs of dead workers, and of nodes that have been silent for too long. The engine
decides which job is to blame for a death.

- Each worker is recovered separately. A damaged record is skipped, with one warning.
- A heartbeat that is due is sent before any other call to the engine (`TaskRunner`).
- A process is killed only if it is proved to be a worker of a dead pool (`orphan_processes.py`).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from msgspec import convert

from poolq.engines.base import Engine, Recovered, Registration
from poolq.errors import EngineError, EngineFull, EngineUnavailable
from poolq.keeper.orphan_processes import end_abandoned, left_behind
from poolq.monitor import node_info
from poolq.monitor.node_info import NodeInfo
from poolq.system import identity

DEFAULT_TTL = 30.0  # seconds, for a node that does not publish its own
#: Errors that reading a value can raise if it was not written by poolq.
MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


class TaskRunner:
    """Runs tasks, each after `beat_if_due`, which sends a heartbeat if one is due. Logs a warning
    when a task fails, but no further warning until the task has succeeded."""

    def __init__(self, warn: Callable[[str], None], beat_if_due: Callable[[], None]) -> None:
        self._warn = warn
        self._beat_if_due = beat_if_due
        self.failing: set[str] = set()

    def run(self, task: str, act: Callable[[], object], *, warn: bool = True) -> bool:
        """Run a task. Returns whether it has succeeded. `warn`: whether to log a failure. Raises
        EngineUnavailable, as other tasks would fail too, but not EngineFull: others may succeed."""
        self._beat_if_due()
        try:
            act()
        except (EngineError, *MALFORMED) as error:
            if isinstance(error, EngineUnavailable) and not isinstance(error, EngineFull):
                raise
            if warn and task not in self.failing:
                self.failing.add(task)
                why = str(error) if isinstance(error, EngineError) else repr(error)
                self._warn(f"{task} has failed; it is tried again with each heartbeat: {why}")
            return False
        self.failing.discard(task)
        return True


class Takeover:
    """Recovers dead workers for one keeper. `live_workers` returns the names of this pool's living
    workers; `report` logs what became of a dead worker's jobs."""

    def __init__(
        self,
        *,
        engine: Engine,
        node: str,
        own_ttl: float,
        tasks: TaskRunner,
        live_workers: Callable[[], set[str]],
        warn: Callable[[str], None],
        report: Callable[[Recovered, str], None],
    ) -> None:
        self._engine = engine
        self._node = node
        self._live_workers = live_workers
        self._warn = warn
        self._report = report
        self._run = tasks.run
        self._own_ttl = own_ttl
        self._ttls: dict[str, float] = {}

    def ttl(self, node: str) -> float:
        """Seconds that a node may be silent; a default if the node does not publish its own."""
        return self._ttls.get(node) or max(self._own_ttl, DEFAULT_TTL)

    def shortest_ttl(self) -> float:
        """The shortest time to live of all known nodes, including this one."""
        return min([self._own_ttl, *self._ttls.values()])

    def recover_local(self) -> None:
        """Recover registered workers that are dead: this pool's workers that have no row in the
        scoreboard, and the dead workers of dead pools on this host."""
        registered = self._registered()
        live_workers = self._live_workers()  # read second, so it has every registered live worker
        infos = ((node, info) for node, info in self._nodes().items() if node != self._node)
        dead = {node: info for node, info in infos if info is not None and _pool_is_gone(info)}
        for worker in registered:
            is_own = worker.node == self._node and worker.worker not in live_workers
            was_left = worker.node in dead and identity.is_gone(worker)
            if is_own or was_left:
                session = dead[worker.node].session if was_left else 0
                self._recover(worker, f"worker {worker.worker} of pool {worker.pool} is dead")
                if session and left_behind(worker, session):
                    self._warn(
                        f"a process that a job of worker {worker.worker} has started (process "
                        f"group {worker.pid}) outlives its pool; it is left alone"
                    )
        still_alive = {worker.node for worker in registered if not identity.is_gone(worker)}
        for node in dead.keys() - still_alive:
            self._run(f"removing node {node}", partial(self._engine.remove_node, node))

    def recover_silent(self, silent: Mapping[str, int]) -> None:
        """Recover all workers of silent nodes whose counters have not moved meanwhile."""
        for node, counter in silent.items():
            self._end_abandoned(node)
            task, act = f"recovering node {node}", partial(self._reap, node, counter)
            if not self._run(task, act, warn=False):
                workers = [worker for worker in self._registered() if worker.node == node]
                done = [self._recover(worker, f"node {node} was silent") for worker in workers]
                if all(done):
                    self._run(task, act)

    def _reap(self, node: str, counter: int) -> None:
        recovered = self._engine.reap(node, counter)
        if recovered is not None:
            self._report(recovered, f"node {node} was silent")

    def _recover(self, worker: Registration, why: str) -> bool:
        def act() -> None:
            self._report(self._engine.recover(worker.worker, None), why)

        return self._run(f"recovering worker {worker.worker}", act)

    def _end_abandoned(self, node: str) -> None:
        """Kill a node's workers if its master and keeper are dead, as nobody else will."""
        info = self._nodes().get(node)
        if info is None or not _pool_is_gone(info):
            return
        ended, doubtful = end_abandoned(
            worker for worker in self._registered() if worker.node == node
        )
        if ended:
            self._warn(
                f"master and keeper of node {node} are dead; killed {len(ended)} of its workers"
                f" (pid {_pids(ended)})"
            )
        if doubtful:
            self._warn(
                f"node {node} is dead and its jobs are released; processes that may be its workers"
                f" (pid {_pids(doubtful)}) are left alone, as nothing proves that they are"
            )

    def _registered(self) -> list[Registration]:
        """All registered workers, except malformed records."""
        workers: list[Registration] = []

        def read() -> None:
            for record in self._engine.registered():
                task = f"reading the registration of {record.worker!r}"
                if self._run(task, partial(convert, tuple(record), Registration)):
                    workers.append(record)

        self._run("reading the registered workers", read)
        return workers

    def _nodes(self) -> dict[str, NodeInfo | None]:
        """What each node publishes, None if that cannot be read. Remembers their times to live."""
        infos: dict[str, NodeInfo | None] = {}

        def read() -> None:
            infos.update(
                (record.node, node_info.decode(record.info)) for record in self._engine.nodes()
            )

        if self._run("reading the nodes", read):
            self._ttls = {node: info.ttl for node, info in infos.items() if info and info.ttl}
        return infos


def _pids(workers: Iterable[Registration]) -> str:
    return ", ".join(str(worker.pid) for worker in workers)


def _pool_is_gone(info: NodeInfo) -> bool:
    """Return whether master and keeper of a pool ran on this host and are both dead. While one of
    them lives, it looks after the pool's workers itself."""
    return all(identity.is_gone_here(*process) for process in (info.master, info.keeper))
