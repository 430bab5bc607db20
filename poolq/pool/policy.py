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

from dataclasses import dataclass
from math import inf

from poolq.pool.state import Mode, Pool, Seat

BOOT_DEADLINE = 60.0
KEEPER_SILENCE = 10  # looks, a second apart, without a beat


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
        actions += _replacement(pool, now)
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
    if old is not new and new.ready:
        actions.append(Stop(old.pid))
    return actions


def _replacement(pool: Pool, now: float) -> list[Action]:
    """The next seat whose worker is to be replaced, unless another's is being replaced."""
    if any(len(seat.serving()) > 1 for seat in pool.seats):
        return []
    for seat in pool.seats:
        for old in seat.serving():
            if old.ready and now >= max(old.due, seat.not_before):
                return [Spawn(seat.slot)]
    return []


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
