"""One run: an engine, a seed, so many seconds of chaos; then the drain, and the verdict."""

from __future__ import annotations

import json
import pickle
import secrets
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event
from typing import NamedTuple

from poolq.errors import EngineError
from poolq.system.identity import is_gone
from tests.chaos.adversary import Adversary
from tests.chaos.brokers import BROKERS, Broker
from tests.chaos.canceller import Canceller
from tests.chaos.checker import Verdict, check
from tests.chaos.fleet import CODE, Fleet
from tests.chaos.jobs import SCHEDULES
from tests.chaos.limit_changes import LimitChanger
from tests.chaos.lookout import Lookout
from tests.chaos.records import Evidence, parse_ledger
from tests.chaos.schedule import schedule
from tests.chaos.schedule_changes import ScheduleChanger
from tests.support.project import Project
from tests.support.scratch import Scratch
from tests.support.wait import until

TTL = 4.0
TICK = 0.02
DRAIN = 180.0
#: How a job ends that is not kept, by the counters of the engine.
ENDED = ("done", "cancelled", "discarded", "expired")
#: What a log says of a job that was ended with its worker.
CANCELLED = r"cancelled (\w{32}), which was running"
OVERRAN = r"recovered (\w{32}), which timed out"
SETS = ("pids", "pools", "gone", "behind")  # of a fault


class Report(NamedTuple):
    """What is published of a run."""

    engine: str
    seconds: float
    seed: int
    verdict: Verdict
    faults: Counter[str]
    missed: int
    drained: float
    note: str


def run(engine: str, seed: int, seconds: float, keep: Path) -> Report:
    """Have a run. A run with violations leaves its logs in `keep`."""
    with ExitStack() as stack:
        scratch = stack.enter_context(Scratch())
        broker = BROKERS[engine](stack, scratch)
        namespace = broker.namespace = f"c{secrets.token_hex(3)}"
        project = Project(stack, scratch.folder("project"), broker.url, namespace, CODE.read_text())
        fleet = Fleet(project, broker, seed, TTL)
        stack.callback(fleet.kill_producer)
        chaos = _Chaos(project, broker, fleet)
        try:
            with (
                Lookout(broker.url, namespace) as lookout,
                Canceller(fleet, broker.url, namespace, seed) as canceller,
                LimitChanger(broker.url, namespace, seed) as changer,
                ScheduleChanger(broker.url, namespace, seed) as scheduler,
            ):
                chaos.rage(engine, seed, seconds)
                for one in (canceller, changer, scheduler):
                    one.stop()
                chaos.drain(changer, scheduler)
            evidence = chaos.evidence(lookout, canceller, changer)
            evidence = evidence._replace(managed=tuple(scheduler.made))
            verdict = check(evidence)
        except BaseException:
            _keep(scratch.path, keep, chaos, [])
            raise
        if verdict.violations:
            _keep(scratch.path, keep, chaos, verdict.violations)
            (keep / "evidence.pickle").write_bytes(pickle.dumps(evidence))  # to check it again
        kinds = Counter(one.kind for one in chaos.adversary.done)
        note = "; ".join(filter(None, [broker.note, "node 1 an hour ahead" * bool(fleet.ahead)]))
        return Report(
            engine, seconds, seed, verdict, kinds, chaos.adversary.missed, chaos.drained, note
        )


class _Chaos:
    """The state of a run."""

    def __init__(self, project: Project, broker: Broker, fleet: Fleet) -> None:
        self.project = project
        self.broker = broker
        self.fleet = fleet
        self.adversary = Adversary(fleet)
        self.drained = 0.0

    def rage(self, engine: str, seed: int, seconds: float) -> None:
        """Carry out the schedule, from when both nodes are ready. What takes long, a restart say,
        delays all that follows: each fault comes, in the same order and at the same distance."""
        for pool in self.fleet.pools:
            pool.until_ready(4, 60)
        faults = schedule(seed, engine, seconds, TTL)
        pause, begun = Event(), time.monotonic()
        while (now := time.monotonic() - begun) < seconds or faults:
            self.fleet.supervise()
            self.adversary.tick()
            if faults and faults[0].at <= now:
                self.adversary.inject(faults.pop(0))
                begun += time.monotonic() - begun - now
            pause.wait(TICK)

    def drain(self, changer: LimitChanger, scheduler: ScheduleChanger) -> None:
        """End all faults, limits and schedules, and wait until nothing is left to do."""
        self.adversary.tick(every=True)
        self.broker.heal()
        self.fleet.end_producer()
        calmed = partial(self._calmed, changer, scheduler)
        until(calmed, DRAIN, "limits and schedules to be as they were")
        begun = time.monotonic()
        try:
            until(self._is_drained, DRAIN, "the backlog to drain")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are still {self._remains()}") from None
        self.drained = time.monotonic() - begun

    def _calmed(self, changer: LimitChanger, scheduler: ScheduleChanger) -> bool:
        try:
            changer.undo(self.project.engine)
            scheduler.undo(self.project.engine)
            for name in SCHEDULES:
                self.project.engine.schedules.pause(name)
        except EngineError:  # it has just come back
            return False
        return True

    def evidence(self, lookout: Lookout, canceller: Canceller, changer: LimitChanger) -> Evidence:
        """Stop both pools, and see what there is."""
        wrong = self.fleet.stop()
        engine = self.project.engine
        left = [*wrong, *self.fleet.left()]
        left += [f"worker {one.worker} is registered" for one in engine.registered()]
        left += [f"node {one.node} is known" for one in engine.nodes()]
        failed = {one.id for one in engine.failed(max_count=1_000_000)}
        words = [line.split() for line in self.fleet.dispatched.read_text().splitlines()]
        dispatched = {id for what, id, _ in words if what == "ok"}
        maybe = {id for what, id, _ in words if what == "maybe"}
        lines = parse_ledger(self.fleet.ledger.read_text())
        seen = dispatched | maybe | {line.id for line in lines}
        present = {id for id in seen - failed if engine.find(id) is not None}
        counts = {name: self.project.total(name) for name in (*ENDED, "failed")}
        done = sum(counts[name] for name in ENDED)
        schedules = tuple(engine.schedules.all())
        some = sorted(failed)
        for start in range(0, len(some), 500):
            engine.forget(some[start : start + 500])
        # A request to cancel whose claim has ended is void. The next keeper that looks deletes it,
        # and the last one may have looked before the job's end.
        requests = engine.cancel_requests("any")
        left += [f"job {one.id} is still to be cancelled" for one in requests]
        left += self.broker.left(self.project.namespace)
        return Evidence(
            lines, dispatched, maybe, self.adversary.done + canceller.kills, TTL,
            failed, present, done,
            lookout.seen, left, self.fleet.stale(), self.broker.lossy, self.fleet.ahead,
            self.broker.locks, frozenset(canceller.asked), tuple(canceller.cancelled),
            self.fleet.said(CANCELLED), self.fleet.said(OVERRAN),
            counts, {id: name for _, id, name in words}, self.broker.overlaps,
            tuple(changer.made), schedules, dict(lookout.beats), lookout.load,
        )  # fmt: skip

    def _is_drained(self) -> bool:
        self.fleet.watch()
        try:
            return self.project.settled() and self._is_tidy()
        except EngineError:  # it has just come back
            return False

    def _remains(self) -> str:
        engine, space = self.project.engine, self.project.namespace
        full = [one for one in engine.counts() if any(one[1:5])]
        dead = [one.worker for one in engine.registered() if is_gone(one)]
        nodes = [one.node for one in engine.nodes()]
        return f"{full}, dead workers {dead}, nodes {nodes}, {self.broker.left(space)}"

    def _is_tidy(self) -> bool:
        """True if the living have cleared away the nodes that died, and the lines of jobs that were
        parked, which stay until the next slot of their limit, and the slots of ended claims."""
        engine = self.project.engine
        if len(engine.nodes()) > len(self.fleet.pools) or any(map(is_gone, engine.registered())):
            return False
        left = self.broker.left(self.project.namespace)
        return not any(one.endswith(("_lines", "_slots")) for one in left)


def _keep(scratch: Path, keep: Path, chaos: _Chaos, violations: list[str]) -> None:
    """Copy what a person needs to find the cause: what the pools, the producer and the servers have
    said, and what was done to them."""
    keep.mkdir(parents=True, exist_ok=True)
    for file in [*chaos.project.folder.iterdir(), *scratch.glob("*/log")]:
        if file.suffix in (".log", ".txt"):
            (keep / file.name).write_bytes(file.read_bytes())
        elif file.name == "log":
            (keep / f"server-{file.parent.name}.log").write_bytes(file.read_bytes())
    facts = [one._asdict() | {name: sorted(getattr(one, name)) for name in SETS}
             for one in sorted(chaos.adversary.done, key=lambda one: one.begin)]  # fmt: skip
    (keep / "faults.json").write_text("\n".join(json.dumps(one) for one in facts))
    (keep / "violations.txt").write_text("\n".join(violations))
