"""Simulates the processes of a pool for tests of its policy, with a clock that the test sets.

Each action is checked as it is applied: a process that is stopped or killed twice, spawned too
early, killed before its stack was asked for, or stopped before its successor is ready fails the
test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from poolq.master import canary, state_updates
from poolq.master.actions import (
    Action,
    DumpStack,
    Exit,
    Kill,
    KillJob,
    SpawnKeeper,
    SpawnTemplate,
    SpawnWorker,
    Stop,
)
from poolq.master.policy import STOP_REPEAT, decide, next_wake
from poolq.master.state import (
    HelperProcess,
    Limits,
    Mode,
    Pool,
    Slot,
    StackDump,
    TemplateProcess,
    WorkerProcess,
)
from poolq.scoreboard.timeouts import DUMP_TIMEOUT

STOP_TIMEOUT = 5.0


@dataclass
class SimulatedProcess:
    """A simulated process. `stubborn`: it does not leave when it is told to, and as a template it
    forks nothing. `hangs`: it never becomes ready either. `pid` 0: a template was asked for it."""

    pid: int
    seq: int = 0
    slot: int = 0
    generation: int = 0
    ready: bool = False
    stop_sent: bool = False
    killed: bool = False
    stubborn: bool = False
    hangs: bool = False


@dataclass
class SimulatedPool:
    """Applies the actions of the policy to simulated processes, and checks each."""

    slots: int = 3
    limits: Limits = field(default_factory=Limits)
    now: float = 1000.0
    number: int = 0
    keeper: SimulatedProcess | None = None
    templates: dict[int, SimulatedProcess] = field(default_factory=dict)
    workers: dict[int, SimulatedProcess] = field(default_factory=dict)  # by seq
    unrecovered: int = 0
    exit: int | None = None
    beat: int = 0
    broken: bool = False  # code that is loaded from now on cannot boot

    def __post_init__(self) -> None:
        self.pool = Pool(self.limits, [Slot(number) for number in range(1, self.slots + 1)])
        canary.reload(self.pool, "start")
        self._applied: dict[type, Callable[[Any], None]] = {
            Exit: self._exit,
            SpawnKeeper: self._spawn_keeper,
            SpawnTemplate: self._spawn_template,
            SpawnWorker: self._spawn,
            Stop: self._stop,
            Kill: self._kill,
            DumpStack: self._dump,
            KillJob: self._kill_job,
        }

    def act(self) -> list[Action]:
        """Run one turn of the master's loop, after signals and reaping."""
        state_updates.reaped(self.pool, self.now)
        if self.pool.keeper:
            self.pool.keeper.beat.observe(self.beat, self.now)
        actions = decide(self.pool, self.now, self.unrecovered)
        for action in actions:
            assert self.exit is None, "no action may follow Exit"
            self._applied[type(action)](action)
        return actions

    # actions

    def _exit(self, action: Exit) -> None:
        assert not self.workers
        assert not self.templates
        assert self.keeper is None
        self.exit = action.code

    def _spawn_keeper(self, action: SpawnKeeper) -> None:
        assert self.keeper is None
        self.keeper = SimulatedProcess(self.next())
        self.pool.keeper = HelperProcess(self.keeper.pid, self.now)

    def _spawn_template(self, action: SpawnTemplate) -> None:
        assert self.pool.mode is Mode.RUN
        assert self.pool.broker_reached
        assert action.generation not in self.templates
        process = SimulatedProcess(self.next(), generation=action.generation)
        self.templates[action.generation] = process
        self.pool.templates[action.generation] = TemplateProcess(
            process.generation, process.pid, self.now
        )

    def _spawn(self, action: SpawnWorker) -> None:
        assert self.pool.mode is Mode.RUN
        assert self.pool.broker_reached, "no worker may start before the broker was reached"
        if action.generation != self.pool.generation:
            assert self.pool.trial is not None
            assert action.generation == self.pool.trial.generation
            assert not [one for one in self.workers.values() if one.generation == action.generation]
        template = self.templates.get(action.generation)
        assert template is None or template.ready
        process = SimulatedProcess(
            0 if template else self.next(), self.next(), action.slot, action.generation
        )
        self.workers[process.seq] = process
        proc = WorkerProcess(process.seq, process.pid, process.generation, self.now)
        state_updates.spawned(self.pool, process.slot, proc, rand=0.5)

    def _stop(self, action: Stop) -> None:
        process = self.process(action.pid)
        proc = next((one for one in self.pool.procs() if one.pid == action.pid), None)
        repeated = proc is not None and proc.idle and self.now >= proc.signalled_at + STOP_REPEAT
        assert not process.stop_sent or repeated, "stopped twice"
        first, process.stop_sent = not process.stop_sent, True
        state_updates.signalled(self.pool, action.pid, self.now, killed=False)
        # A repeated signal is not checked: the slot may have been closing at the first.
        if (
            first
            and self.pool.mode is Mode.RUN
            and process.slot
            and not self.slot(process.slot).closing
        ):
            assert any(one.ready and not one.stop_sent for one in self.workers_of(process.slot))

    def _kill(self, action: Kill) -> None:
        process = self.process(action.pid)
        assert not process.killed, "killed twice"
        process.killed = True
        state_updates.signalled(self.pool, action.pid, self.now, killed=True)
        if self.pool.mode is not Mode.RUN and process.slot:
            hangs = action.booting or "idle worker" in action.why
            assert hangs or self.now >= self.pool.deadline, "killed too early"

    def _dump(self, action: DumpStack) -> None:
        proc = next(one for one in self.pool.procs() if one.pid == action.pid)
        proc.dump = StackDump(action.running, self.now)

    def _kill_job(self, action: KillJob) -> None:
        proc = next(one for one in self.pool.procs() if one.pid == action.pid)
        assert action.running == proc.running
        if self.now < proc.cancel_at:
            assert proc.dump is not None
            assert proc.dump.running == action.running, "its stack was asked for another job"
            assert proc.dump.written or self.now >= proc.dump.asked_at + DUMP_TIMEOUT
        proc.dump = None
        assert not self.process(action.pid).killed, "killed twice"
        self.process(action.pid).killed = True
        state_updates.signalled(self.pool, action.pid, self.now, killed=True)

    # queries

    def served(self) -> int:
        """The slots that have a ready worker which was neither told to leave nor killed."""
        good = [
            one for one in self.workers.values() if one.ready and not one.stop_sent | one.killed
        ]
        slots = {one.slot for one in good}
        return sum(slot.number in slots for slot in self.pool.slots if not slot.closing)

    def next(self) -> int:
        self.number += 1
        return self.number

    def slot(self, number: int) -> Slot:
        return self.pool.slots[number - 1]

    def process(self, pid: int) -> SimulatedProcess:
        assert pid, "a worker without a pid cannot be signalled"
        return next(one for one in self.processes() if one.pid == pid)

    def processes(self) -> list[SimulatedProcess]:
        keeper = [self.keeper] if self.keeper else []
        return [*keeper, *self.templates.values(), *self.workers.values()]

    def workers_of(self, slot: int) -> list[SimulatedProcess]:
        return [one for one in self.workers.values() if one.slot == slot]

    # events

    def reach_broker(self) -> None:
        self.pool.broker_reached = True
        self.unrecovered = 0

    def fork(self, process: SimulatedProcess) -> None:
        process.pid = self.next()
        state_updates.forked(self.pool, process.seq, process.pid)

    def find_changed_code(self, process: SimulatedProcess) -> None:
        """The template does not fork this worker, as files have changed."""
        del self.workers[process.seq]
        state_updates.fork_failed(self.pool, process.seq, self.now)
        canary.reload(self.pool, "files changed")

    def unforked(self) -> list[SimulatedProcess]:
        """The workers that a template was asked for, of the generation that serves."""
        known = self.workers.values()
        return [one for one in known if not one.pid and one.generation == self.pool.generation]

    def load(self, process: SimulatedProcess) -> None:
        process.ready = self.pool.templates[process.generation].ready = True

    def make_ready(self, process: SimulatedProcess) -> None:
        process.ready = True
        state_updates.ready(self.pool, process.seq, idle=False)

    def end(
        self,
        process: SimulatedProcess,
        code: int = 0,
        *,
        in_job: bool = False,
        worked: bool = False,
    ) -> None:
        if process is self.keeper:
            self.keeper = None
            state_updates.keeper_exited(self.pool, code, self.now)
        elif process.seq:
            del self.workers[process.seq]
            self.unrecovered += 1
            state_updates.exited(
                self.pool, process.seq, code, self.now, worked=worked, job="jobs:Job 1" * in_job
            )
        else:
            del self.templates[process.generation]
            state_updates.template_exited(self.pool, process.pid, code, "", self.now)
            for one in [
                one for one in self.workers.values() if one.generation == process.generation
            ]:
                if not one.pid:
                    del self.workers[one.seq]
                    state_updates.fork_failed(self.pool, one.seq, self.now)

    def run_for(self, seconds: float = 0.0) -> None:
        """Let time pass as the master's loop would; all processes do what is expected of them."""
        end = self.now + seconds
        for _ in range(20_000):
            changed = self.obey()
            actions = self.act()
            if self.exit is not None or (self.now >= end and not actions and not changed):
                return
            self.beat += 1
            if not actions and not changed:
                self.now = min(end, self.now + next_wake(self.pool, self.now))
        raise AssertionError("the loop spins")

    def obey(self) -> bool:
        """Have each process do once what is expected of it; False if there was nothing to do."""
        if self.keeper:
            self.reach_broker()
        before = [(one.pid, one.ready) for one in self.processes()]
        for process in self.processes():
            template = self.templates.get(process.generation)
            if process not in self.processes() or (process.hangs and not process.killed):
                continue  # it has gone with its template, or hangs
            if process.killed:
                self.end(process, -1)
            elif process.stop_sent and not process.stubborn:
                self.end(process)
            elif process.seq and not process.pid:
                if template and template.ready and not template.stubborn:
                    self.fork(process)
            elif process.seq and not process.ready:
                self.end(process, 3) if self.broken else self.make_ready(process)
            elif template is process and not process.ready:
                self.end(process, 3) if self.broken else self.load(process)
        return before != [(one.pid, one.ready) for one in self.processes()]


def running(slots: int = 3, **limits: Any) -> SimulatedPool:
    """A pool whose workers are all ready; it has no templates unless `preload` is set."""
    sim = SimulatedPool(slots, Limits(**{"stop_timeout": STOP_TIMEOUT, "preload": False, **limits}))
    sim.run_for()
    assert len(sim.workers) == slots
    return sim


def only_worker(sim: SimulatedPool) -> SimulatedProcess:
    """The only worker."""
    (process,) = sim.workers.values()
    return process
