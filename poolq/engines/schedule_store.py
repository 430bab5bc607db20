"""The contract for schedules: when a periodic job is next due, and which nodes declare it.

- `tick` compares a schedule with what the caller has read (hash and due time), advances it and
  stores the jobs, in one atomic act. So if several keepers see the same tick, only one stores its
  job. If a keeper dies, its tick is complete or has changed nothing.
- The engine's clock decides when a schedule is due, not the caller's. Any keeper may tick it.
- Each node declares the schedules of its code, with the number of its deploy (`Engine.accept`). If
  two nodes declare one name, the code that was accepted last counts, even if its node has left.
- If a declaration changes a schedule whose tick is due, the changed schedule keeps that tick.
  Otherwise it begins with a tick of its own.
- A schedule that no living node declares is set aside when it is next due. Keepers then ignore it
  until a node declares it again.
- If new code drops a schedule, and no other living node declares it, it is set aside at once, with
  the hash REMOVED. Its pause and its counters are kept. Once it is declared again, it starts anew.
- A schedule that a person adds hides a declaration of its name, until it is removed.
- A spec is opaque bytes here; `jobs/schedule_plan.py` reads it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

from poolq.common.lengths import MAX_HASH_BYTES, MAX_JOB_NAME_BYTES, MAX_SPEC_BYTES
from poolq.engines import sanitize
from poolq.engines.sanitize import number, to_text
from poolq.jobs.message import Push
from poolq.jobs.schedule_plan import Overlap

#: The `at` of a schedule at which no keeper looks. A double holds this number exactly.
NEVER = 2**53 - 1
#: A schedule whose job waits for the previous one is looked at again after so many microseconds.
BUFFER_INTERVAL = 1_000_000
#: The hash of a schedule that the code has dropped; no declaration has this hash. The `due` of such
#: a schedule is when the code dropped it.
REMOVED = "0"
#: A schedule from code that no living node declares is forgotten this many microseconds after its
#: tick was due, or after the code dropped it.
FORGET_AFTER = 30 * 86_400_000_000


class NewSchedule(NamedTuple):
    """A schedule to store. `due`: its first tick, in microseconds since the epoch; 0 if the next
    keeper that looks at the schedule must compute the tick."""

    name: str
    hash: str
    spec: bytes
    due: int


class Scheduled(NamedTuple):
    """A stored schedule. `due`: its next tick (0: not known yet), or when the code dropped it.
    `at`: when a keeper will look at it, or NEVER. `declared`: True if code declares it, False if a
    person has added it. `last`: the last tick that stored a job, or 0. `job`: the id of that job.
    `ticks`: how many ticks have stored a job. `skipped`: how many have not (an earlier job was
    unfinished or had the unique key, or `left_out`). Times are microseconds since the epoch."""

    name: str
    hash: str
    spec: bytes
    due: int
    at: int
    declared: bool = True
    paused: bool = False
    last: int = 0
    job: str = ""
    ticks: int = 0
    skipped: int = 0

    @classmethod
    def read(cls, row: Sequence[object]) -> "Scheduled":
        """Return what is readable of a stored schedule; `row` has the fields in this order."""
        name, hash_, spec, due, at, declared, paused, last, job, ticks, skipped = row
        found = sanitize.optional_number(at)
        return cls(
            name=to_text(name),
            hash=to_text(hash_),
            spec=sanitize.blob(spec),
            due=number(due),
            at=NEVER if found is None else found,
            declared=bool(number(declared)),
            paused=bool(number(paused)),
            last=number(last),
            job=to_text(job),
            ticks=number(ticks),
            skipped=number(skipped),
        )

    @property
    def state(self) -> str:
        """One of active, paused and undeclared (set aside because no living node declares it)."""
        if self.paused:
            return "paused"
        return "undeclared" if self.at == NEVER else "active"


def is_unreadable(row: Sequence[object]) -> bool:
    """Return whether no poolq can have stored this schedule."""
    name, hash_, spec, due, _, _, _, last, _, ticks, skipped = row
    good = all(map(sanitize.is_whole, (due, last, ticks, skipped)))
    return not good or is_unreadable_declaration(name, hash_, spec)


def is_unreadable_declaration(name: object, hash_: object, spec: object) -> bool:
    good = sanitize.is_text(name, MAX_JOB_NAME_BYTES) and sanitize.is_text(hash_, MAX_HASH_BYTES)
    return not good or not spec or len(sanitize.blob(spec)) > MAX_SPEC_BYTES


class Look(NamedTuple):
    """What a keeper needs to know. `now`: the engine's clock. `due`: schedules to tick, the
    earliest first. `next`: when the next schedule is due, or None. `any`: whether there are any
    schedules. `more`: whether there may be more that are due. `unreadable`: names of schedules that
    no poolq can have stored; keepers ignore them from now on."""

    now: int
    due: list[Scheduled]
    next: int | None
    any: bool
    more: bool
    unreadable: Sequence[str]


class Tick(NamedTuple):
    """How to advance a schedule. `hash`, `expected`: its hash and due time when it was read. `due`:
    its next tick. `at`: when to look at the schedule again; 0: at `due`. `pushes`: the jobs to
    store, at most one if they have a unique key. `last`: the tick of the last of these jobs.
    `overlap`: what becomes of these jobs if the schedule's previous job is unfinished. `left_out`:
    how many ticks have come but get no job; they count as skipped."""

    name: str
    hash: str
    expected: int
    due: int
    overlap: Overlap = "allow"
    last: int = 0
    pushes: Sequence[Push] = ()
    at: int = 0
    left_out: int = 0


#: What became of a tick. `stored`: the schedule is advanced and its jobs are stored. `skipped`: the
#: schedule is advanced without a job, because the previous job is unfinished, or another job has
#: the unique key. `waiting`: the tick will be tried again, because the previous job is unfinished.
#: `lost`: another keeper was faster, or the schedule has changed.
TickEnd = Literal["stored", "skipped", "waiting", "lost"]
#: What became of a person's schedule. `declared`: a living node declares one of this name.
PutEnd = Literal["added", "replaced", "same", "declared"]
RemoveEnd = Literal["removed", "unknown", "declared"]


class ScheduleStore(ABC):
    """Each method except `all` is atomic; `tick` is atomic for each schedule. All methods raise
    EngineUnavailable."""

    @abstractmethod
    def declared(self, node: str) -> int:
        """Return the deploy whose schedules the node has declared, or 0."""

    @abstractmethod
    def declare(self, node: str, deploy: int, schedules: Sequence[NewSchedule]) -> list[str]:
        """Make these the schedules of the node's code, unless a later deploy of the node has
        declared its schedules. Schedules that are stored with the same hash keep everything.
        Schedules that neither this node nor another living node still declares are set aside.
        Returns which of the names belong to schedules that people have added; these do not change.
        Also forgets schedules that no living node has declared for long (FORGET_AFTER)."""

    @abstractmethod
    def look(self, max_count: int) -> Look:
        """Return due schedules. Set aside those unreadable or declared by no living node."""

    @abstractmethod
    def tick(self, ticks: Sequence[Tick]) -> list[TickEnd]:
        """Advance these schedules. Returns what became of each."""

    @abstractmethod
    def put(self, schedule: NewSchedule) -> PutEnd:
        """Store a person's schedule, unless a living node declares one of this name. A changed
        schedule starts anew, but stays paused."""

    @abstractmethod
    def remove(self, name: str) -> RemoveEnd:
        """Remove a person's schedule, or one that no living node declares. A declaration that a
        person's schedule has hidden takes its place."""

    @abstractmethod
    def pause(self, name: str) -> bool:
        """Stop a schedule. Returns False if there is none of this name."""

    @abstractmethod
    def resume(self, name: str, due: int) -> bool:
        """Resume a paused schedule with the tick `due`; if the code has dropped it, it stays set
        aside. Returns False if no schedule of this name is paused."""

    @abstractmethod
    def get(self, name: str) -> Scheduled | None:
        """Return a schedule."""

    @abstractmethod
    def all(self) -> list[Scheduled]:
        """Return all schedules, sorted by name."""

    @abstractmethod
    def soonest(self, max_count: int) -> list[Scheduled]:
        """Return the schedules that are due next, then paused and undeclared ones."""
