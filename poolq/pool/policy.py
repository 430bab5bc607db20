"""What a pool does next: decisions as pure functions of its state and the clock.

- No live process is told twice for one reason: `told` and `killed` are set once.
- A worker that does not leave in a drain is killed when the stop timeout is over; its job goes
  back uncounted.
- Replacements come first: a ready worker is told to leave only when its successor is ready, and
  one seat at a time is replaced.
- The first worker boots alone: if it cannot, the pool ends and says why.
- The keeper starts first and leaves last.

The shell (`master.py`) forks, signals and reaps; it holds no rule of its own. Clock: monotonic
seconds.
"""

from dataclasses import dataclass, field
from enum import Enum
from math import inf

BOOT_DEADLINE = 60.0
KEEPER_SILENCE = 10  # looks, a second apart, without a beat
END_DEADLINE = 10.0
BACKOFF_FIRST, BACKOFF_MOST = 0.1, 30.0
BOOT_FAILED, KILLED = 3, 5


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


@dataclass(frozen=True, slots=True)
class SpawnKeeper:
    pass


@dataclass(frozen=True, slots=True)
class Spawn:
    slot: int


@dataclass(frozen=True, slots=True)
class Stop:
    """TERM: finish the job, then leave."""

    pid: int


@dataclass(frozen=True, slots=True)
class Kill:
    """KILL, with its process group. Not `charged`: its job goes back uncounted."""

    pid: int
    charged: bool
    why: str


@dataclass(frozen=True, slots=True)
class Exit:
    code: int


Action = SpawnKeeper | Spawn | Stop | Kill | Exit


def decide(pool: Pool, now: float, unconfirmed: int) -> list[Action]:
    """All that is to be done at `now`. `unconfirmed`: dead workers not yet recovered."""
    if pool.mode is Mode.END:
        return _end(pool, now, unconfirmed)
    actions = _keeper(pool, now)
    if pool.mode is Mode.DRAIN:
        return actions + _drain(pool, now)
    if pool.contact:
        for seat in pool.seats:
            actions += _seat(pool, seat, now)
    return actions


def _keeper(pool: Pool, now: float) -> list[Action]:
    keeper = pool.keeper
    if keeper is None:
        return [SpawnKeeper()] if now >= pool.keeper_not_before else []
    if keeper.unmoved >= KEEPER_SILENCE and not keeper.killed:
        return [Kill(keeper.pid, False, f"keeper (pid {keeper.pid}) was silent for 10 s")]
    return []


def _seat(pool: Pool, seat: Seat, now: float) -> list[Action]:
    serving = seat.serving()
    if not serving:
        first = pool.booted or (seat is pool.seats[0])
        return [Spawn(seat.slot)] if first and now >= seat.not_before else []
    actions: list[Action] = [
        Kill(proc.pid, True, f"worker {seat.slot} (pid {proc.pid}) was not ready in 60 s")
        for proc in serving
        if not proc.ready and not proc.killed and now - proc.born >= BOOT_DEADLINE
    ]
    old, new = serving[0], serving[-1]
    if old is new:
        if old.ready and now >= max(old.due, seat.not_before) and not _replacing(pool):
            actions.append(Spawn(seat.slot))
    elif new.ready:
        actions.append(Stop(old.pid))
    return actions


def _replacing(pool: Pool) -> bool:
    return any(len(seat.serving()) > 1 for seat in pool.seats)


def _drain(pool: Pool, now: float) -> list[Action]:
    actions: list[Action] = [Stop(proc.pid) for proc in pool.procs() if not proc.told]
    if now >= pool.deadline:
        actions += [
            Kill(proc.pid, False, f"worker (pid {proc.pid}) outlived the stop timeout")
            for proc in pool.procs()
            if not proc.killed
        ]
    return actions


def _end(pool: Pool, now: float, unconfirmed: int) -> list[Action]:
    keeper = pool.keeper
    if keeper is None:
        if unconfirmed and now < pool.deadline and pool.contact:
            return [SpawnKeeper()] if now >= pool.keeper_not_before else []
        return [Exit(pool.code)]
    if not keeper.told:
        return [Stop(keeper.pid)]
    if now >= pool.deadline and not keeper.killed:
        return [Kill(keeper.pid, False, f"keeper (pid {keeper.pid}) did not leave")]
    return []


def next_wake(pool: Pool, now: float) -> float:
    """Seconds until something may be due by time alone; at most 1, for the keeper's beat."""
    times = [now + 1.0, pool.deadline]
    if pool.keeper is None:
        times.append(pool.keeper_not_before)
    if pool.mode is Mode.RUN:
        for seat in pool.seats:
            times.append(seat.not_before if not seat.serving() else inf)
            times += [proc.due for proc in seat.serving() if proc.ready]
    return max(0.0, min(time for time in times if time > now) - now)


# What happened, written into the state.


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
    found = [*pool.procs(), *([pool.keeper] if pool.keeper else [])]
    for proc in found:
        if proc.pid == pid:
            proc.told = True
            proc.killed = proc.killed or killed


def exited(pool: Pool, pid: int, code: int, now: float, *, worked: bool) -> Seat | None:
    """A worker was reaped: back off where it died by itself; `worked`: it had settled a job.

    A replacement that cannot boot calls the replacing off: the old workers go on. Returns its seat.
    """
    seat = next((s for s in pool.seats for p in s.procs if p.pid == pid), None)
    if seat is None:
        return None
    proc = next(p for p in seat.procs if p.pid == pid)
    seat.procs.remove(proc)
    if proc.killed and pool.mode is not Mode.RUN:
        pool.code = pool.code or KILLED
    if not proc.ready and not proc.told and not pool.booted:
        pool.code = code if code in (69, 78) else BOOT_FAILED
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
    if not pool.contact and code in (69, 78):
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
