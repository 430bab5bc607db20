"""Many at once: processes, threads, and a process that forks."""

from __future__ import annotations

import gc
import os
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from poolq.engines.base import Engine, QueueCounts, Settlement
from poolq.jobs.outcomes import ACK
from tests.contract.crowd import Crowd, dispatch, live_and_die, work_off
from tests.contract.helpers import MS, Worker, count_of, every_engine, named, push, total

pytestmark = every_engine


def test_four_processes_claim_each_job_once(engine: Engine, crowd: Crowd) -> None:
    ids = push(engine, *map(str, range(2000)))
    claimed = crowd.act(work_off, engine.url, engine.namespace)
    assert sorted(one for some in claimed for one in some) == ids
    if engine.url.startswith(("mysql", "postgresql")):
        return  # a claim that was rolled back after a deadlock comes later
    for some in claimed:
        assert some == sorted(some), "a worker's claims are in order"
    assert count_of(engine) == QueueCounts("q")
    assert total(engine, "done") == 2000


def test_four_processes_push_and_each_ones_order_is_kept(
    engine: Engine, worker: Worker, crowd: Crowd
) -> None:
    pushed = crowd.act(dispatch, engine.url, engine.namespace, 100)
    names = worker.drain()
    for member, theirs in enumerate(pushed):
        assert [name for name in names if name.startswith(f"{member}.")] == theirs
    assert len(names) == 400


def test_no_job_is_lost_or_done_twice_while_workers_are_declared_dead(
    engine: Engine, crowd: Crowd
) -> None:
    """One process recovers all registered workers; the others are fenced in the middle of their
    work and continue under new names. What counts is an acknowledgement that was accepted."""
    ids = push(engine, *map(str, range(5000)))
    acked = crowd.act(live_and_die, engine.url, engine.namespace, 700 * MS)
    for one in engine.registered():
        engine.recover(one.worker, None)
    left = count_of(engine).ready
    counted = Counter(one for some in acked for one in some)
    assert set(counted.values()) == {1}
    assert counted.total() + left == len(ids)
    assert total(engine, "done") == counted.total()
    assert count_of(engine) == QueueCounts("q", ready=left)


def test_threads_share_one_engine_object(engine: Engine) -> None:
    together = Barrier(4)

    def live(member: int) -> list[str]:
        try:
            together.wait(60)
            worker = Worker(engine, f"w{member}", "n1")
            push(engine, *(f"{member}.{n}" for n in range(25)))
            names: list[str] = []
            while claims := worker.claim(3):
                names += named(claims)
                worker.step(*(Settlement(claim, ACK) for claim in claims))
            return names
        finally:
            engine.close()

    with ThreadPoolExecutor(4) as threads:
        names = [name for some in threads.map(live, range(4)) for name in some]
    names += Worker(engine, "rest").drain()
    assert sorted(names) == sorted(f"{member}.{n}" for member in range(4) for n in range(25))
    assert total(engine, "done") == 100


def test_closing_in_one_thread_leaves_the_others_alone(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b")
    worker.claim()
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(engine.now).result() > 0
        threads.submit(engine.close).result()
    assert named(worker.claim()) == ["b"]


def in_a_fork(act: Callable[[], object]) -> None:
    """Call `act` in a forked child, which then also collects its garbage."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            gc.collect()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_engine_works_in_both_processes_after_a_fork(engine: Engine, worker: Worker) -> None:
    push(engine, "before")

    def child() -> None:
        push(engine, "child")
        mine = Worker(engine, "w2", "n2")
        assert named(mine.claim()) == ["before"]
        mine.engine.close()
        push(engine, "again")
        engine.close()

    in_a_fork(child)
    push(engine, "parent")
    assert named(worker.claim(9)) == ["child", "again", "parent"]
    assert count_of(engine) == QueueCounts("q", running=4)


def test_a_child_that_only_closes_leaves_its_parent_connected(
    engine: Engine, worker: Worker
) -> None:
    push(engine, "a")
    in_a_fork(engine.close)
    assert named(worker.claim()) == ["a"]
