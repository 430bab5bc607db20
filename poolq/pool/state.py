"""The state of a pool, and what happened to it written down (pure).

What follows from it is `policy.py`'s business. Clock: monotonic seconds.
"""

from dataclasses import dataclass, field
from enum import Enum
from math import inf

END_DEADLINE = 10.0
BACKOFF_FIRST, BACKOFF_MOST = 0.1, 30.0
BOOT_FAILED, KILLED = 3, 5
#: Exit codes of a child that tell why a pool cannot start: no broker, bad configuration.
TELLING = (69, 78)


class Mode(Enum):
    """RUN serves; DRAIN lets workers finish; END has none left but the keeper."""

    RUN = "running"
    DRAIN = "draining"
    END = "ending"


@dataclass(slots=True)
class Proc:
    """A worker process. `due`: when it is to be replaced."""

    seq: int
    pid: int
    born: float
    due: float
    ready: bool = False
    told: bool = False
    killed: bool = False


@dataclass(slots=True)
class Seat:
    """A slot and who sits in it: one serves, another may boot to replace it, others leave."""

    slot: int
    procs: list[Proc] = field(default_factory=list)
    failures: int = 0
    not_before: float = 0.0

    def serving(self) -> list[Proc]:
        """Those not told to leave, the oldest first."""
        return [proc for proc in self.procs if not proc.told]


@dataclass(slots=True)
class Keeper:
    """The keeper process, and what was last seen of its beat."""

    pid: int
    beat: int = 0
    unmoved: int = 0
    looked: float = 0.0
    told: bool = False
    killed: bool = False


@dataclass(slots=True)
class Pool:
    """The whole state. `contact`: the keeper has reached the broker once."""

    seats: list[Seat]
    cooldown: float
    stop_timeout: float
    mode: Mode = Mode.RUN
    keeper: Keeper | None = None
    keeper_failures: int = 0
    keeper_not_before: float = 0.0
    contact: bool = False
    booted: bool = False
    deadline: float = inf
    code: int = 0

    def procs(self) -> list[Proc]:
        return [proc for seat in self.seats for proc in seat.procs]


def stop(pool: Pool, now: float) -> bool:
    """Begin to drain; False when that has begun already."""
    if pool.mode is not Mode.RUN:
        return False
    pool.mode = Mode.DRAIN
    pool.deadline = now + pool.stop_timeout
    return True


def abort(pool: Pool, now: float) -> None:
    """Drain without patience."""
    stop(pool, now)
    if pool.mode is Mode.DRAIN:
        pool.deadline = min(pool.deadline, now)


def reload(pool: Pool, now: float) -> None:
    """Replace every worker, one seat at a time; each new one loads the code anew."""
    for proc in pool.procs():
        proc.due = min(proc.due, now)


def spawned(pool: Pool, slot: int, seq: int, pid: int, now: float, rand: float) -> None:
    """A worker was forked. `rand`, 0 to 1, jitters its lifetime by a tenth each way."""
    due = now + pool.cooldown * (0.9 + 0.2 * rand) if pool.cooldown else inf
    pool.seats[slot - 1].procs.append(Proc(seq, pid, now, due))


def ready(pool: Pool, seq: int) -> None:
    """A worker can take jobs."""
    for proc in pool.procs():
        if proc.seq == seq and not proc.ready:
            proc.ready = pool.booted = True


def signalled(pool: Pool, pid: int, *, killed: bool) -> None:
    """A Stop or Kill was carried out."""
    children: list[Proc | Keeper] = [*pool.procs()]
    if pool.keeper is not None:
        children.append(pool.keeper)
    for child in children:
        if child.pid == pid:
            child.told = True
            child.killed = child.killed or killed


def exited(
    pool: Pool, pid: int, code: int, now: float, *, worked: bool, in_job: bool
) -> Seat | None:
    """A worker was reaped: back off where it died by itself; `worked`: it had settled a job;
    `in_job`: it was running one.

    A replacement that cannot boot calls the replacing off: the old workers go on. Returns its seat.
    """
    seat = next((s for s in pool.seats for p in s.procs if p.pid == pid), None)
    if seat is None:
        return None
    proc = next(p for p in seat.procs if p.pid == pid)
    seat.procs.remove(proc)
    if proc.killed and in_job and pool.mode is not Mode.RUN:
        pool.code = pool.code or KILLED
    if not proc.ready and not proc.told and not pool.booted:
        pool.code = code if code in TELLING else BOOT_FAILED
        pool.mode, pool.deadline = Mode.DRAIN, now
    if not proc.ready and seat.procs:
        _call_off(pool, now)
    if proc.ready and code == 0:
        seat.failures = 0
        return seat
    seat.failures = 1 if worked else seat.failures + 1
    seat.not_before = now + min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(seat.failures - 1, 16))
    return seat


def _call_off(pool: Pool, now: float) -> None:
    for proc in pool.procs():
        if proc.due <= now:
            proc.due = now + pool.cooldown if pool.cooldown else inf


def keeper_exited(pool: Pool, code: int, now: float) -> None:
    """The keeper was reaped; before its first contact with the broker its code ends the pool."""
    pool.keeper = None
    pool.keeper_failures += 1
    pool.keeper_not_before = now + min(5.0, BACKOFF_FIRST * 2.0 ** min(pool.keeper_failures, 8))
    if not pool.contact and code in TELLING:
        pool.code, pool.mode, pool.deadline = code, Mode.END, now


def looked(pool: Pool, beat: int, now: float) -> None:
    """The keeper's beat was read. Counted in looks a second apart, not in time: when this process
    itself was stopped, only its looks are missing."""
    keeper = pool.keeper
    if keeper is None or (beat == keeper.beat and now - keeper.looked < 1.0):
        return
    keeper.unmoved = keeper.unmoved + 1 if beat == keeper.beat else 0
    keeper.beat, keeper.looked = beat, now


def emptied(pool: Pool, now: float) -> None:
    """After every reaping: when the last worker of a drain has left, only the keeper remains."""
    if pool.mode is Mode.DRAIN and not pool.procs():
        pool.mode, pool.deadline = Mode.END, now + END_DEADLINE
