"""Replacing workers: one seat at a time, the successor first, the old ones go on if it fails."""

from __future__ import annotations

from poolq.pool import state
from poolq.pool.policy import Spawn, Stop, decide
from poolq.pool.state import Pool, Seat


def busy_pool(seats: int) -> Pool:
    """A pool whose workers (pids 1, 2, …) have all booted at second 0."""
    pool = Pool([Seat(slot) for slot in range(1, seats + 1)], cooldown=0, stop_timeout=60)
    pool.keeper, pool.contact = state.Keeper(pid=99), True
    for slot in range(1, seats + 1):
        state.spawned(pool, slot, seq=slot, pid=slot, now=0, rand=0.5)
        state.ready(pool, slot)
    return pool


def test_one_seat_at_a_time_is_given_a_successor() -> None:
    pool = busy_pool(4)
    state.reload(pool, now=1)
    for slot in range(1, 5):
        assert decide(pool, 2, 0) == [Spawn(slot)]
        state.spawned(pool, slot, seq=10 + slot, pid=10 + slot, now=2, rand=0.5)
        assert decide(pool, 2, 0) == []  # it boots
        state.ready(pool, 10 + slot)
        assert Stop(slot) in decide(pool, 2, 0)
        state.signalled(pool, slot, killed=False)
    assert decide(pool, 2, 0) == []


def test_a_long_job_in_a_replaced_worker_holds_up_no_other_seat() -> None:
    pool = busy_pool(2)
    state.reload(pool, now=1)
    state.spawned(pool, 1, seq=11, pid=11, now=2, rand=0.5)
    state.ready(pool, 11)
    state.signalled(pool, 1, killed=False)  # told, and still at its job
    assert decide(pool, 2, 0) == [Spawn(2)]


def test_a_successor_that_cannot_boot_calls_the_replacing_off() -> None:
    pool = busy_pool(3)
    state.reload(pool, now=1)
    state.spawned(pool, 1, seq=11, pid=11, now=2, rand=0.5)
    state.exited(pool, 11, code=3, now=2, worked=False, in_job=False)
    assert decide(pool, 3600, 0) == []
    assert [proc.pid for proc in pool.procs()] == [1, 2, 3]
