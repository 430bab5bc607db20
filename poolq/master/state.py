"""The state of a pool, as plain values.

- `policy.py` decides from it what to do next; `state_updates.py` records what has happened.
- The table WORKER_TRANSITIONS gives the next state of a worker process for each state and event.
  The table SIGNALS gives the signals that a worker may be sent. An event that neither table allows
  raises IllegalMove. docs/design.md shows the tables.

Times are monotonic seconds.
"""

from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from math import inf

import msgspec

from poolq.scoreboard.layout import NO_JOB, RunningJob
from poolq.scoreboard.timeouts import MAX_MISSED_BEATS


class Mode(Enum):
    """RUN: the pool serves. DRAIN: its workers exit. END: its templates and its keeper exit."""

    RUN = "running"
    DRAIN = "draining"
    END = "ending"


class WorkerState(Enum):
    FORKING = auto()  # a template was asked to fork it; it has no pid yet
    BOOTING = auto()  # it loads the application
    CONNECTING = auto()  # it has loaded the application and waits for the engine
    IDLE = auto()  # it waits for jobs
    BUSY = auto()  # it runs a job, or is leaving by itself
    GONE = auto()  # it was reaped, or never forked


class Told(Enum):
    """The strongest signal that a worker was sent: none, TERM (STOP) or KILL."""

    NOTHING = auto()
    STOP = auto()
    KILL = auto()


class WorkerEvent(Enum):
    """What happens to a worker. LOADED, IDLE and BUSY repeat whenever its row is read."""

    FORKED = auto()
    FORK_FAILED = auto()
    LOADED = auto()
    IDLE = auto()
    BUSY = auto()
    STOP_SENT = auto()
    KILL_SENT = auto()
    EXITED = auto()


_S, _E = WorkerState, WorkerEvent
# fmt: off
WORKER_TRANSITIONS: Mapping[WorkerState, Mapping[WorkerEvent, WorkerState]] = {
    _S.FORKING: {_E.FORKED: _S.BOOTING, _E.FORK_FAILED: _S.GONE},
    _S.BOOTING: {
        _E.LOADED: _S.CONNECTING, _E.IDLE: _S.IDLE, _E.BUSY: _S.BUSY, _E.EXITED: _S.GONE,
    },
    _S.CONNECTING: {
        _E.LOADED: _S.CONNECTING, _E.IDLE: _S.IDLE, _E.BUSY: _S.BUSY, _E.EXITED: _S.GONE,
    },
    _S.IDLE: {_E.IDLE: _S.IDLE, _E.BUSY: _S.BUSY, _E.EXITED: _S.GONE},
    _S.BUSY: {_E.IDLE: _S.IDLE, _E.BUSY: _S.BUSY, _E.EXITED: _S.GONE},
    _S.GONE: {},
}
# fmt: on
_LIVING = (_S.BOOTING, _S.CONNECTING, _S.IDLE, _S.BUSY)
#: Key: what a worker was told, and a new signal. Value: what it is told after the new signal, and
#: the states in which the new signal may be sent.
SIGNALS: Mapping[tuple[Told, WorkerEvent], tuple[Told, tuple[WorkerState, ...]]] = {
    (Told.NOTHING, _E.STOP_SENT): (Told.STOP, _LIVING),
    (Told.NOTHING, _E.KILL_SENT): (Told.KILL, _LIVING),
    (Told.STOP, _E.STOP_SENT): (Told.STOP, (_S.IDLE,)),  # it may have missed the first one
    (Told.STOP, _E.KILL_SENT): (Told.KILL, _LIVING),
    (Told.KILL, _E.STOP_SENT): (Told.KILL, _LIVING),  # if the same turn decided on both
}


class IllegalMove(RuntimeError):
    """An event that cannot happen to a worker in its state."""


class Limits(msgspec.Struct, frozen=True):
    """What the settings allow, in seconds and bytes. 0 means no limit."""

    cooldown: float = 0.0
    stop_timeout: float = 60.0
    boot_timeout: float = 60.0
    max_jobs: int = 0
    max_memory: int = 0
    max_memory_hard: int = 0
    max_surge: int = 1
    max_spawn_failures: int = 0
    max_missed_beats: int = 35  # of an idle worker, counted once a second
    preload: bool = True
    has_logger: bool = False
    keeper_silence: float = MAX_MISSED_BEATS
    keeper_pause: float = 5.0
    until_empty: bool = False


class Heartbeat(msgspec.Struct):
    """A counter that moves while its process lives, observed about once a second. `missed` counts
    observations without a move, not seconds, so that no process seems silent because the observer
    was stopped or the whole machine slept."""

    value: int = 0
    missed: int = 0
    observed_at: float = -inf

    def observe(self, value: int, now: float, interval: float = 1.0) -> None:
        if value != self.value:
            self.value, self.missed, self.observed_at = value, 0, now
        elif now - self.observed_at >= interval:
            self.missed, self.observed_at = self.missed + 1, now


class StackDump(msgspec.Struct):
    """A request to a worker to log its stack while it runs this job."""

    running: RunningJob
    asked_at: float
    written: bool = False


class WorkerProcess(msgspec.Struct):
    """A worker, and what was last read from its `row` of the scoreboard. `expires_at`: when its
    cooldown is over. `recycle_reason`: why it is to be replaced, or "". `jobs`: how many it has
    settled. `over_limit`: whether its job exceeds --max-memory-hard. `rss_at_start`: the bytes that
    it held when its job began. `cancel_at`: when it is to be killed because its job is cancelled.
    `signalled_at`: when TERM or KILL was last sent. `resumed_at`: when the pool's last suspension
    ended. `suspend_credit`: seconds that a job from before `resumed_at` may take longer."""

    seq: int
    pid: int
    generation: int
    started_at: float
    row: int = 0
    expires_at: float = inf
    state: WorkerState = WorkerState.BOOTING
    told: Told = Told.NOTHING
    signalled_at: float = -inf
    recycle_reason: str = ""
    jobs: int = 0
    rss: int = 0
    initial_rss: int = 0
    beat: Heartbeat = msgspec.field(default_factory=Heartbeat)
    running: RunningJob = NO_JOB
    running_since: float = 0.0
    deadline: float = inf
    cancel_at: float = inf
    dump: StackDump | None = None
    over_limit: bool = False
    rss_at_start: int = 0
    resumed_at: float = -inf
    suspend_credit: float = 0.0

    def move(self, event: WorkerEvent) -> None:
        """Take one step of WORKER_TRANSITIONS or of SIGNALS. Raises IllegalMove."""
        after = WORKER_TRANSITIONS[self.state].get(event)
        order, states = SIGNALS.get((self.told, event), (self.told, ()))
        if after is None and self.state not in states:
            raise IllegalMove(
                f"worker (pid {self.pid}, seq {self.seq}): {event.name} is impossible in state "
                f"{self.state.name}, told {self.told.name}"
            )
        self.state, self.told = after or self.state, order

    @property
    def serving(self) -> bool:
        return self.told is Told.NOTHING

    @property
    def ready(self) -> bool:
        return self.state in (WorkerState.IDLE, WorkerState.BUSY)

    @property
    def idle(self) -> bool:
        return self.state is WorkerState.IDLE and not self.killed

    @property
    def killed(self) -> bool:
        return self.told is Told.KILL


class Slot(msgspec.Struct):
    """A numbered place for a worker: one serves in it, another may boot, others may be leaving."""

    number: int
    procs: list[WorkerProcess] = []
    failures: int = 0
    not_before: float = -inf
    closing: bool = False
    restarts: int = 0

    def serving(self) -> list[WorkerProcess]:
        """The workers that were not told to exit, the oldest first."""
        return [proc for proc in self.procs if proc.serving]


class TemplateProcess(msgspec.Struct):
    """A process that loads a generation. `spare`: the pid of its dormant copy, 0 for none."""

    generation: int
    pid: int
    started_at: float
    ready: bool = False
    stop_sent: bool = False
    killed: bool = False
    spare: int = 0


class Trial(msgspec.Struct):
    """A generation that is being tried: it is loaded, then its first worker boots. `again`: another
    reload was requested meanwhile."""

    generation: int
    why: str
    again: bool = False
    not_before: float = -inf


class HelperProcess(msgspec.Struct):
    """The keeper or the logger. If --node-ttl is short, `quick_beat` observes the keeper's counter
    more often than `beat`, except while the keeper merely waits for a processor."""

    pid: int
    started_at: float = 0.0
    beat: Heartbeat = msgspec.field(default_factory=Heartbeat)
    quick_beat: Heartbeat = msgspec.field(default_factory=Heartbeat)
    stop_sent: bool = False
    killed: bool = False


class Pool(msgspec.Struct):
    """The state of a pool. `generation`: the generation that serves, 0 before the first boot.
    `refusal`, `traceback`: why the last trial was refused, and the error's traceback ("" if none).
    `paused`: whether workers claim no new jobs. `broker_reached`: whether the keeper has ever
    reached the broker. `queues_empty`: whether the keeper has found no job left to do.
    `not_preloaded`: the generations that each worker imports for itself. `exit_counts`: how many
    workers have exited, by reason (see exits.py). `interrupts`: how many Ctrl-C were counted;
    `interrupt_ignored_at`: when one was last ignored. `killed_jobs`: the name and id of each job
    that was killed so that the pool could end."""

    limits: Limits
    slots: list[Slot]
    mode: Mode = Mode.RUN
    generation: int = 0
    last_generation: int = 0
    trial: Trial | None = None
    templates: dict[int, TemplateProcess] = {}
    not_preloaded: set[int] = set()
    refusal: str = ""
    traceback: str = ""
    paused: bool = False
    keeper: HelperProcess | None = None
    keeper_failures: int = 0
    keeper_not_before: float = -inf
    logger: HelperProcess | None = None
    logger_failures: int = 0
    logger_not_before: float = -inf
    broker_reached: bool = False
    queues_empty: bool = False
    deadline: float = inf
    aborted: bool = False
    interrupts: int = 0
    interrupt_ignored_at: float = -inf
    killed_jobs: list[str] = []
    spawn_failures: int = 0
    exit_counts: Counter[str] = msgspec.field(default_factory=Counter)
    exit_code: int = 0

    def procs(self) -> list[WorkerProcess]:
        return [proc for slot in self.slots for proc in slot.procs]

    def find(self, seq: int) -> WorkerProcess | None:
        return next((proc for proc in self.procs() if proc.seq == seq), None)

    def worker(self, pid: int) -> WorkerProcess | None:
        return next((proc for proc in self.procs() if proc.pid == pid), None)

    def can_spawn(self, generation: int) -> bool:
        """Return whether a worker of that generation can be forked now."""
        if not self.limits.preload or generation in self.not_preloaded:
            return True
        template = self.templates.get(generation)
        return template is not None and template.ready and not template.stop_sent

    def target(self) -> int:
        """The target number of workers."""
        return sum(not slot.closing for slot in self.slots)

    def label(self) -> str:
        """The state of the pool in one word, for people."""
        if self.mode is not Mode.RUN:
            return str(self.mode.value)
        if not self.generation:
            return "starting"
        if self.paused:
            return "paused"
        return "reloading" if self.reloading() else "running"

    def reloading(self) -> bool:
        """Return whether there is a trial that has begun."""
        return self.trial is not None and self.has_begun(self.trial)

    def on_trial(self, generation: int) -> bool:
        return self.trial is not None and self.trial.generation == generation

    def has_begun(self, trial: Trial) -> bool:
        """Return whether the trial has begun; if not, it waits for its `not_before`."""
        if trial.not_before == -inf or trial.generation in self.templates:
            return True
        return any(proc.generation == trial.generation for proc in self.procs())
