"""The state of a pool (pure values). What follows from it is `policy.py`'s business, what happened
to it is written down by `transitions.py`. Clock: monotonic seconds.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from poolq.scoreboard.timeouts import MAX_MISSED_BEATS
from poolq.scoreboard.values import NO_JOB, Running, WorkerDeath

DEATHS = 8  # of workers, that are remembered


class Mode(Enum):
    """RUN serves; DRAIN lets workers finish; END has none left but template and keeper."""

    RUN = "running"
    DRAIN = "draining"
    END = "ending"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings allow. Seconds and bytes; 0: no limit."""

    cooldown: float = 0.0
    stop_timeout: float = 60.0
    boot_deadline: float = 60.0
    max_jobs: int = 0
    max_memory: int = 0
    max_memory_hard: int = 0
    max_surge: int = 1
    max_spawn_failures: int = 0
    silence: int = 35  # looks at an idle worker, a second apart, without a beat
    preload: bool = True
    logged: bool = False  # what all say goes through a logger process
    keeper_silence: float = MAX_MISSED_BEATS


@dataclass(slots=True)
class Beat:
    """A counter that moves while its process lives, looked at about once a second.

    Counted in looks, not in time: when the looking process itself was stopped, or the whole
    machine slept, only looks are missing and nobody seems silent.
    """

    value: int = 0
    unmoved: int = 0
    looked: float = -inf

    def look(self, value: int, now: float, every: float = 1.0) -> None:
        if value != self.value:
            self.value, self.unmoved, self.looked = value, 0, now
        elif now - self.looked >= every:
            self.unmoved, self.looked = self.unmoved + 1, now


@dataclass(slots=True)
class Proc:
    """A worker process. `due`: when its lifetime ends; `spent`: why it is to be replaced.

    `deadline` and `running` are as last read from the scoreboard; `dumped` is the job for which
    its stack was asked for, at `dumped_at`, and `written` that it has been. What began (`since`)
    before the pool had `woken` may take `excuse` seconds more. `heavy`: what runs is over the hard
    limit of memory, of which `burden` bytes were there when it began. `loaded`: not ready, but all
    that it waits for is the engine. `signalled_at`: when it was last told to leave, or killed.
    """

    seq: int
    pid: int
    generation: int
    born: float
    due: float = inf
    loaded: bool = False
    ready: bool = False
    told: bool = False
    killed: bool = False
    signalled_at: float = -inf
    asked: float = inf  # when the template was asked whether the code has changed
    answered: bool = False
    spent: str = ""
    jobs: int = 0
    rss: int = 0
    birth: int = 0
    idle: bool = False
    beat: Beat = field(default_factory=Beat)
    deadline: float = inf
    running: Running = NO_JOB
    dumped: Running = NO_JOB
    dumped_at: float = inf
    written: bool = False
    heavy: bool = False
    burden: int = 0
    since: float = 0.0
    woken: float = -inf
    excuse: float = 0.0


@dataclass(slots=True)
class Seat:
    """A slot and who sits in it: one serves, another may boot to replace it, others leave."""

    slot: int
    procs: list[Proc] = field(default_factory=list)
    failures: int = 0
    not_before: float = 0.0
    closing: bool = False
    restarts: int = 0

    def serving(self) -> list[Proc]:
        """Those not told to leave, the oldest first."""
        return [proc for proc in self.procs if not proc.told]


@dataclass(slots=True)
class Template:
    """A process that has loaded a generation. `spare`: its dormant copy's pid, 0 for none."""

    generation: int
    pid: int
    born: float
    ready: bool = False
    told: bool = False
    killed: bool = False
    spare: int = 0


@dataclass(slots=True)
class Trial:
    """A generation that is being tried: loaded, then its first worker booted."""

    generation: int
    why: str
    again: bool = False  # asked for once more meanwhile
    not_before: float = 0.0


@dataclass(slots=True)
class Helper:
    """The keeper, or the logger. `pulse` is the beat of a keeper with a short --node-ttl, looked at
    more often, and not while it only waits for a processor."""

    pid: int
    born: float = 0.0
    beat: Beat = field(default_factory=Beat)
    pulse: Beat = field(default_factory=Beat)
    told: bool = False
    killed: bool = False


@dataclass(slots=True)
class Pool:
    """The whole state. `generation`: the one that serves, 0 before the first boot. `contact`: the
    keeper has reached the broker once. `refusal`: why the last trial was refused, "" if it was not;
    `trace`: the traceback of that, if there is one. `paused`: nothing new is taken.
    """

    limits: Limits
    seats: list[Seat]
    mode: Mode = Mode.RUN
    generation: int = 0
    last_generation: int = 0
    trial: Trial | None = None
    templates: dict[int, Template] = field(default_factory=dict)
    bare: set[int] = field(default_factory=set)  # generations that workers import for themselves
    refusal: str = ""
    trace: str = ""
    paused: bool = False
    keeper: Helper | None = None
    keeper_failures: int = 0
    keeper_not_before: float = 0.0
    logger: Helper | None = None
    logger_failures: int = 0
    logger_not_before: float = 0.0
    contact: bool = False
    deadline: float = inf
    aborted: bool = False
    spawn_failures: int = 0
    endings: Counter[str] = field(default_factory=Counter)  # of workers, by cause: see exits.py
    deaths: deque[WorkerDeath] = field(default_factory=lambda: deque(maxlen=DEATHS))
    code: int = 0

    def procs(self) -> list[Proc]:
        return [proc for seat in self.seats for proc in seat.procs]

    def find(self, seq: int) -> Proc | None:
        return next((proc for proc in self.procs() if proc.seq == seq), None)

    def can_spawn(self, generation: int) -> bool:
        """A worker of that generation could be forked now."""
        if not self.limits.preload or generation in self.bare:
            return True
        template = self.templates.get(generation)
        return template is not None and template.ready and not template.told

    def target(self) -> int:
        """How many workers there shall be."""
        return sum(not seat.closing for seat in self.seats)

    def label(self) -> str:
        """The state as a person reads it."""
        if self.mode is not Mode.RUN:
            return str(self.mode.value)
        if not self.generation:
            return "starting"
        if self.paused:
            return "paused"
        return "reloading" if self.trying() else "running"

    def trying(self) -> bool:
        """A generation is being tried, and does not only wait for its time."""
        return self.trial is not None and self.begun(self.trial)

    def on_trial(self, generation: int) -> bool:
        return self.trial is not None and self.trial.generation == generation

    def begun(self, trial: Trial) -> bool:
        """False while a trial waits for its time."""
        if not trial.not_before or trial.generation in self.templates:
            return True
        return any(proc.generation == trial.generation for proc in self.procs())
