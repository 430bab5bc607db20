"""The contract for schedules: when a periodic job is next due, and which nodes declare it.

- `tick` compares a schedule with what the caller has read (hash and due time), advances it and
  stores the jobs in one atomic act. So of any number of keepers that see the same tick, one stores
  its job, and a keeper that dies has done both or neither.
- A schedule is due by the engine's clock, which the caller need not share. Any keeper ticks it.
- Each node declares the schedules of its code, with the number of its deploy (`Engine.accept`). Of
  two that declare one name, the code that was accepted last counts, and goes on to count.
- A declaration that changes a schedule whose tick is due leaves that tick to it. Otherwise, the
  changed schedule begins with a tick of its own.
- A schedule that no living node declares is set aside when it is next due: nobody looks at it any
  more, until a node declares it again.
- A schedule that is no longer in the code of any living node is set aside at once, with the hash
  REMOVED. Its pause and its counters are kept. Once it is declared again, it starts anew.
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

#: When nobody is to look at a schedule; exact in a double.
NEVER = 2**53 - 1
#: In how many microseconds a schedule is looked at again whose job waits for the one before it.
BUFFER_INTERVAL = 1_000_000
#: The hash of a schedule whose code is gone; no declaration has it. Its `due` is when it went.
REMOVED = "0"
#: A schedule from code that no living node declares is forgotten if its tick came, or its code
#: went, so many microseconds ago.
FORGET_AFTER = 30 * 86_400_000_000


class NewSchedule(NamedTuple):
    """A schedule to store. `due`: its first tick, in microseconds since the epoch; 0 if the keeper
    that looks at it next is to find that."""

    name: str
    hash: str
    spec: bytes
    due: int


class Scheduled(NamedTuple):
    """A stored schedule. `due`: its next tick (0: not known yet), or when its code went. `at`: when
    a keeper will look at it, or NEVER. `declared`: whether code declares it, rather than a person.
    `last`: the last tick that stored a job, or 0, and `job` that job's id. `ticks`: how many ticks
    have stored a job, and `skipped` how many have not: an earlier job was unfinished or had the
    unique key, or they were left out. Times are microseconds since the epoch."""

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
        """One of active, paused, and undeclared: set aside, as no living node declares it."""
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
    no poolq can have stored, which nobody looks at again."""

    now: int
    due: list[Scheduled]
    next: int | None
    any: bool
    more: bool
    unreadable: Sequence[str]


class Tick(NamedTuple):
    """A schedule to advance from what was read of it (`hash`, `expected`) to its tick `due`, at
    which it is looked at again unless `at` is not 0. `pushes`: the jobs to store, the last of which
    belongs to the tick `last`; if they have a unique key, there is one at most. `overlap`: what
    becomes of them if the last job is unfinished. `left_out`: how many ticks that have come have no
    job, to be counted as skipped."""

    name: str
    hash: str
    expected: int
    due: int
    overlap: Overlap = "allow"
    last: int = 0
    pushes: Sequence[Push] = ()
    at: int = 0
    left_out: int = 0


#: What became of a tick. `stored`: the schedule is advanced and its jobs are stored. `skipped`: it
#: is advanced, but the job before is unfinished, or another job has the unique key. `waiting`: it
#: will be tried again, as the job before is unfinished. `lost`: another keeper was faster, or the
#: schedule has changed.
TickEnd = Literal["stored", "skipped", "waiting", "lost"]
#: What became of a person's schedule. `declared`: a living node declares one of this name.
PutEnd = Literal["added", "replaced", "same", "declared"]
RemoveEnd = Literal["removed", "unknown", "declared"]


class ScheduleStore(ABC):
    """Each method is atomic, but for `all`, and `tick`, which is so for each schedule. All raise
    EngineUnavailable."""

    @abstractmethod
    def declared(self, node: str) -> int:
        """Return the deploy whose schedules the node has declared, or 0."""

    @abstractmethod
    def declare(self, node: str, deploy: int, schedules: Sequence[NewSchedule]) -> list[str]:
        """Make these the schedules of the node's code, unless a later deploy of it has declared.
        Those that are stored with the same hash keep everything. What the node no longer declares,
        and no other living node, is set aside. Returns names that people have given to other
        schedules, which stay as they are. Also forgets schedules that no living node has declared
        for long (FORGET_AFTER)."""

    @abstractmethod
    def look(self, max_count: int) -> Look:
        """Return what is due, and set aside what is unreadable, or declared by no living node."""

    @abstractmethod
    def tick(self, ticks: Sequence[Tick]) -> list[TickEnd]:
        """Advance these schedules. Returns what became of each."""

    @abstractmethod
    def put(self, schedule: NewSchedule) -> PutEnd:
        """Store a person's schedule, unless a living node declares another. A changed one starts
        anew, but stays paused."""

    @abstractmethod
    def remove(self, name: str) -> RemoveEnd:
        """Remove a person's schedule, or one that no living node declares. A declaration that a
        person's schedule has hidden takes its place."""

    @abstractmethod
    def pause(self, name: str) -> bool:
        """Stop a schedule. Returns False if there is none of this name."""

    @abstractmethod
    def resume(self, name: str, due: int) -> bool:
        """Let a paused schedule go on with the tick `due`, if its code is not gone. Returns False
        if none is paused."""

    @abstractmethod
    def get(self, name: str) -> Scheduled | None:
        """Return a schedule."""

    @abstractmethod
    def all(self) -> list[Scheduled]:
        """Return all schedules, sorted by name."""

    @abstractmethod
    def soonest(self, max_count: int) -> list[Scheduled]:
        """Return the schedules that are due next, then paused and undeclared ones."""
