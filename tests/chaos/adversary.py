"""The adversary: carries out a schedule, and notes what it did and to whom."""

from __future__ import annotations

import signal
from collections.abc import Callable
from time import monotonic

from tests.chaos.brokers import Undo, nothing
from tests.chaos.failover import Lost
from tests.chaos.fleet import BROKEN, CODE, Fleet
from tests.chaos.records import NOBODY, Done
from tests.chaos.schedule import BACKEND, BROKER, FAILOVER, RESTORE, Fault
from tests.support.processes import Process, process

#: Faults that concern both nodes.
EVERYWHERE = (*BROKER, *BACKEND, *FAILOVER, *RESTORE, "disk-full", "reload-broken")
#: Faults that come just as a job has ended.
AMID = ("kill-worker-at-end",)
Began = tuple[Undo, list[Process]]


class Adversary:
    """`done` is the log of all faults that are over; `missed` counts those without a victim."""

    def __init__(self, fleet: Fleet) -> None:
        self.done: list[Done] = []
        self.missed = 0
        self._fleet = fleet
        self._ended: int | None = None
        self._open: list[tuple[float, Fault, float, Undo, list[Process]]] = []
        self._how: dict[str, Callable[[Fault], Began | None]] = {
            "kill-worker": lambda fault: self._kill(fault, "worker"),
            "kill-worker-at-end": self._kill_at_end,
            "kill-workers": lambda fault: self._kill(fault, "worker", 3),
            "kill-keeper": lambda fault: self._kill(fault, "keeper"),
            "kill-template": lambda fault: self._kill(fault, "template"),
            "kill-logger": lambda fault: self._kill(fault, "logger"),
            "kill-master": lambda fault: self._kill(fault, "master"),
            "kill-master-and-keeper": self._kill_heads,
            "kill-pool": self._kill_pool,
            "stop-worker": lambda fault: self._stop(fault, "worker", 1),
            "stop-keeper": lambda fault: self._stop(fault, "keeper", 1),
            "stop-master": lambda fault: self._stop(fault, "master", 1),
            "stop-pool": lambda fault: self._stop(fault, "", 1000),
            "stop-pool-long": lambda fault: self._stop(fault, "", 1000),
            "reload-good": lambda fault: self._reload(1),
            "reload-twice": lambda fault: self._reload(2),
            "reload-broken": lambda fault: self._break_code(),
        }

    def inject(self, fault: Fault) -> None:
        """Begin a fault; it ends when `tick` finds that its time is over."""
        self._ended = self._fleet.next_end(fault.node) if fault.kind in AMID else None
        begin = monotonic()
        how = self._how.get(fault.kind)
        if how is not None:
            began = how(fault)
        else:
            undo = self._fleet.broker.begin(fault.kind, fault.node, fault.pick)
            began = None if undo is None else (undo, [])
        if began is None:
            self.missed += 1
            return
        undo, victims = began
        until = monotonic() + fault.span if undo is not nothing else 0.0
        self._open.append((until, fault, begin, undo, victims))
        self.tick()

    def tick(self, *, every: bool = False) -> None:
        """End the faults whose time is over, or every one."""
        now = monotonic()
        over = [one for one in self._open if every or one[0] <= now]
        self._open = [one for one in self._open if one not in over]
        for _, fault, begin, undo, victims in over:
            lost = undo() or Lost()
            node = NOBODY if fault.kind in EVERYWHERE else fault.node
            pids = frozenset(one.pid for one in victims)
            pools = frozenset(one.session for one in victims)
            self.done.append(Done(fault.kind, begin, monotonic(), node, pids, pools, *lost))

    def _some(self, fault: Fault, title: str, most: int) -> list[Process]:
        found = self._fleet.victims(fault.node, title)
        first = int(fault.pick * len(found))
        return (found[first:] + found[:first])[:most]

    def _kill(self, fault: Fault, title: str, most: int = 1) -> Began | None:
        victims = self._some(fault, title, most)
        for one in victims:
            one.kill()
        return (nothing, victims) if victims else None

    def _kill_at_end(self, fault: Fault) -> Began | None:
        """The worker that has just written a job's end."""
        found = None if self._ended is None else process(self._ended)
        if found is None:
            return None
        found.kill()
        return nothing, [found]

    def _kill_heads(self, fault: Fault) -> Began | None:
        """Master and keeper at once: the workers are alone."""
        pool = self._fleet.pools[fault.node]
        heads = [one for one in (process(pool.pid), pool.keeper()) if one is not None]
        return self._kill_together(heads)

    def _kill_pool(self, fault: Fault) -> Began | None:
        return self._kill_together(self._fleet.victims(fault.node, ""))

    def _kill_together(self, victims: list[Process]) -> Began:
        """So that none sees another die."""
        for how in (signal.SIGSTOP, signal.SIGKILL):
            for one in victims:
                one.kill(how)
        return nothing, victims

    def _stop(self, fault: Fault, title: str, most: int) -> Began | None:
        victims = self._some(fault, title, most)
        if not victims:
            return None
        for one in victims:
            one.kill(signal.SIGSTOP)

        def go_on() -> None:
            for one in victims:
                one.kill(signal.SIGCONT)

        return go_on, victims

    def _reload(self, times: int) -> Began:
        for _ in range(times):
            for pool in self._fleet.pools:
                if pool.code is None:
                    pool.signal(signal.SIGHUP)
        return nothing, []

    def _break_code(self) -> Began:
        self._fleet.deploy(BROKEN)
        self._reload(1)
        return lambda: self._fleet.deploy(CODE.read_text()), []
