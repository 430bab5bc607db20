"""SQLite's writers wait for each other in line, asleep, and workers behind all others."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from poolq.engines.sqlite import SQLiteEngine
from poolq.engines.sqlite.write_lock import POLITE_WRITES, WriteLock, _Lock
from poolq.errors import EngineUnavailable
from tests.contract.crowd import Crowd
from tests.contract.helpers import SECOND, Worker, named, open_engine, push, wait_for
from tests.support.wait import until


@pytest.fixture
def sqlite(sqlite: SQLiteEngine) -> SQLiteEngine:
    sqlite.now()
    return sqlite


@contextmanager
def held(file: Path, lane: str = "turn") -> Iterator[Path]:
    """Hold a lane's lock, as another process does."""
    path = Path(f"{file}-{lane}")
    path.touch()
    with path.open("rb") as opened_:
        fcntl.flock(opened_, fcntl.LOCK_EX)
        yield path
        fcntl.flock(opened_, fcntl.LOCK_UN)  # a child may share it


def waiting(path: Path) -> int:
    """How many writers wait for the lock on a file."""
    inode = f":{path.stat().st_ino}"
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum(line[1] == "->" and line[6].endswith(inode) for line in lines)


def switches_of_a_write(_: int, url: str, namespace: str) -> int:
    """Store some jobs; returns how often this process went to sleep meanwhile."""
    engine = open_engine(url, namespace)
    engine.now()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    push(engine, "a", "b")
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before


def test_a_waiting_writer_sleeps(sqlite: SQLiteEngine, threads: ThreadPoolExecutor) -> None:
    """Polling would wake the process hundreds of times a second."""
    push(sqlite, "known")
    with Crowd(4) as crowd:
        crowd.act(switches_of_a_write, sqlite.url, "poolq")
        with held(sqlite.options.file) as turn:
            answer = threads.submit(crowd.act, switches_of_a_write, sqlite.url, "poolq")
            until(lambda: waiting(turn) == 4, 30, "four writers in line")
            wait_for(sqlite, sqlite.now() + SECOND)
        assert max(answer.result(60)) < 50


def test_a_producer_does_not_wait_in_the_line_of_the_workers(sqlite: SQLiteEngine) -> None:
    """A line of two hundred workers takes seconds."""
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
            pushed.result(60)
            assert waiting(line) == 4
        claims = [step.result(60) for step in steps]
    assert sorted(name for claim in claims for name in named(claim)) == [*"abcd"]


def test_a_writer_keeps_waiting_in_a_line_that_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each writer leaves a sign of its turn, and without signs the wait ends."""
    waits: list[float] = []
    with held(tmp_path / "poolq.db") as turn:

        def wait(_: object, timeout: float) -> bool:
            waits.append(timeout)
            if len(waits) < 3:
                os.utime(turn, (len(waits), len(waits)))
            return False

        monkeypatch.setattr(_Lock, "wait_in_thread", lambda _: False)
        monkeypatch.setattr(_Lock, "poll", wait)
        with pytest.raises(EngineUnavailable, match="or by your own open transaction: in this"):
            WriteLock(tmp_path / "poolq.db").acquire(list, patience=2)
    assert waits == [2, 2, 2]


def test_each_turn_leaves_a_sign(tmp_path: Path) -> None:
    turn = tmp_path / "poolq.db-turn"
    turn.touch()
    os.utime(turn, (1, 1))
    write_lock = WriteLock(tmp_path / "poolq.db")
    assert write_lock.exclusively(lambda: "written") == "written"
    assert turn.stat().st_mtime > 1


@pytest.mark.parametrize(("lane", "gives_way"), [("turn", False), ("turn", True), ("line", True)])
def test_a_writer_that_has_given_up_blocks_nobody(
    tmp_path: Path, lane: str, gives_way: bool
) -> None:
    """A lock granted later is released at once, even while a child forked since then lives, which
    shares the lock."""
    file = tmp_path / "poolq.db"
    write_lock, others = WriteLock(file), WriteLock(file)
    with ExitStack() as child:
        with held(file, lane) as path:
            with pytest.raises(EngineUnavailable):
                write_lock.acquire(list, gives_way, 0.1)
            write_lock.release()
            until(lambda: waiting(path) == 1, what="the lock that is granted later")
            child.enter_context(forked())
        until(lambda: waiting(path) == 0, 5, "nobody in line")
        for one in (others, write_lock):
            assert one.acquire(lambda: "free", gives_way, 30) == "free"
            one.release()


def test_a_writer_that_cannot_start_a_thread_polls(
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
    assert entered.result(60) == "written"


@contextmanager
def forked() -> Iterator[None]:
    """A forked child that sleeps until the context ends."""
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
