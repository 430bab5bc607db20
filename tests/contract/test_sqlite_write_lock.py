"""How SQLite's writers wait for one another: in line, asleep, workers behind all others."""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from poolq.engines.sqlite import SQLiteEngine
from poolq.engines.sqlite.write_lock import POLITE_WRITES, WriteLock
from poolq.errors import EngineUnavailable
from tests.contract.conftest import OpenEngine
from tests.contract.crowd import Crowd
from tests.contract.helpers import SECOND, Worker, named, open_engine, push, wait_for
from tests.support.wait import until


def moved(turn: Path) -> float:
    """Somebody has had a turn now."""
    os.utime(turn)
    return time.monotonic()


@pytest.fixture
def sqlite(tmp_path: Path, opened: OpenEngine) -> SQLiteEngine:
    engine = opened(f"sqlite:///{tmp_path}/poolq.db", "poolq")
    assert isinstance(engine, SQLiteEngine)
    engine.now()
    return engine


@contextmanager
def held(file: Path, lane: str = "turn") -> Iterator[Path]:
    """A stranger's turn."""
    path = Path(f"{file}-{lane}")
    path.touch()
    with path.open("rb") as opened_:
        fcntl.flock(opened_, fcntl.LOCK_EX)
        yield path
        fcntl.flock(opened_, fcntl.LOCK_UN)  # a child may have it, too


def waiting(path: Path) -> int:
    """How many wait for the lock on a file."""
    inode = f":{path.stat().st_ino}"
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum(line[1] == "->" and line[6].endswith(inode) for line in lines)


def switches_of_a_write(_: int, url: str, namespace: str) -> int:
    """Store some jobs; how often this process went to sleep for that."""
    engine = open_engine(url, namespace)
    engine.now()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    push(engine, "a", "b")
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before


def test_who_waits_sleeps(sqlite: SQLiteEngine, threads: ThreadPoolExecutor) -> None:
    """A process that looks now and then wakes up hundreds of times a second."""
    push(sqlite, "known")
    with Crowd(4) as crowd:
        crowd.act(switches_of_a_write, sqlite.url, "poolq")
        with held(sqlite.options.file) as turn:
            answer = threads.submit(crowd.act, switches_of_a_write, sqlite.url, "poolq")
            until(lambda: waiting(turn) == 4, 30, "four writers in line")
            wait_for(sqlite, sqlite.now() + SECOND)
        assert max(answer.result(10)) < 50


def test_a_producer_does_not_wait_in_the_line_of_the_workers(sqlite: SQLiteEngine) -> None:
    """A line of two hundred takes seconds to go by."""
    workers = [Worker(sqlite, f"w{number}") for number in range(4)]
    push(sqlite, "known")
    assert named(workers[0].claim()) == ["known"]
    with ThreadPoolExecutor(5) as threads:
        with held(sqlite.options.file, "line") as line:
            with held(sqlite.options.file) as turn:
                steps = [threads.submit(worker.claim) for worker in workers]
                until(lambda: waiting(line) == 4, 5, "the workers in line")
                pushed = threads.submit(push, sqlite, *"abcd")
                until(lambda: waiting(turn) == 1, 5, "the producer to be next")
            pushed.result(5)
            assert waiting(line) == 4
        claims = [step.result(5) for step in steps]
    assert sorted(name for claim in claims for name in named(claim)) == [*"abcd"]


def test_a_line_that_moves_is_waited_for(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """For as long as it does; whoever has had a turn leaves a sign of it."""
    write_lock = WriteLock(tmp_path / "poolq.db")
    with held(tmp_path / "poolq.db") as turn:
        entered = threads.submit(write_lock.acquire, list, patience=0.2)
        until(lambda: waiting(turn) == 1, 5, "the writer in line")
        began = time.monotonic()
        until(lambda: moved(turn) - began > 1, 5)
        assert not entered.done()
        with pytest.raises(EngineUnavailable, match="locked by another process"):
            entered.result(5)
    write_lock.release()


def test_each_turn_is_a_sign_that_the_line_moves(tmp_path: Path) -> None:
    turn = tmp_path / "poolq.db-turn"
    turn.touch()
    os.utime(turn, (1, 1))
    write_lock = WriteLock(tmp_path / "poolq.db")
    assert write_lock.exclusively(lambda: "written") == "written"
    assert time.time() - turn.stat().st_mtime < 60


@pytest.mark.parametrize(("lane", "gives_way"), [("turn", False), ("turn", True), ("line", True)])
def test_who_has_given_up_holds_up_nobody(tmp_path: Path, lane: str, gives_way: bool) -> None:
    """What it is granted later is free at once, also while a child lives that it has forked since:
    a lock is shared with a child."""
    file = tmp_path / "poolq.db"
    write_lock, others = WriteLock(file), WriteLock(file)
    with ExitStack() as child:
        with held(file, lane) as path:
            with pytest.raises(EngineUnavailable):
                write_lock.acquire(list, gives_way, 0.1)
            write_lock.release()
            assert waiting(path) == 1
            child.enter_context(forked())
        until(lambda: waiting(path) == 0, 5, "nobody in line")
        for one in (others, write_lock):
            assert one.acquire(lambda: "free", gives_way, 1.0) == "free"
            one.release()


def test_without_a_thread_to_wait_in_it_is_looked_now_and_then(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    def no_more(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    write_lock = WriteLock(tmp_path / "poolq.db")
    with held(tmp_path / "poolq.db"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("poolq.engines.sqlite.write_lock.start_new_thread", no_more)
        with pytest.raises(EngineUnavailable):
            write_lock.acquire(list, patience=0.05)
        write_lock.polite_writes = 0
        entered = threads.submit(write_lock.exclusively, lambda: "written")
        until(lambda: write_lock.polite_writes == POLITE_WRITES, 5, "the writer to wait")
    assert entered.result(5) == "written"


@contextmanager
def forked() -> Iterator[None]:
    """A forked child that does nothing until it is let go."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        yield
    finally:
        os.close(read)
        os.close(write)
        os.waitpid(pid, 0)
