"""A fork, or the end of the process, while a thread is in a long transaction."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from poolq.engines.sql.session import Query, Transaction
from poolq.engines.sqlite import SQLiteEngine, forks
from poolq.errors import EngineError, EngineUnavailable
from tests.contract.helpers import count_of, push
from tests.contract.test_sqlite_write_lock import held, waiting
from tests.support.server import bound_to_us
from tests.support.wait import until

#: Takes minutes.
LONG = """WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1e10)
    SELECT COUNT(*) FROM numbers"""


@pytest.fixture
def sqlite(sqlite: SQLiteEngine, monkeypatch: pytest.MonkeyPatch) -> SQLiteEngine:
    monkeypatch.setattr(forks, "FORK_TIMEOUT", 0.2)
    push(sqlite, "before")
    return sqlite


def found_open(file: Path) -> str:
    """The database's files that this process has open."""
    links = [link.resolve() for link in Path("/proc/self/fd").iterdir() if link.exists()]
    found = {link.name for link in links if str(link).startswith(str(file))}
    return " ".join(sorted(found)) or "none"


def in_a_child(act: Callable[[], str]) -> str:
    """What `act` returns in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        answer = "nothing"
        try:
            answer = act()
        except EngineError as error:
            answer = f"{type(error).__name__}: {error}"
        finally:
            os.write(write, answer.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answers:
        answer = answers.read()
    os.waitpid(pid, 0)
    return answer


def dispatched_by_a_child(engine: SQLiteEngine) -> str:
    found = found_open(engine.options.file)
    push(engine, "child")
    return found


def test_a_long_transaction_is_interrupted(
    sqlite: SQLiteEngine, threads: ThreadPoolExecutor
) -> None:
    begun = Event()

    def work(tx: Transaction) -> None:
        tx.run(Query("UPDATE {queues} SET seen = 1"))
        begun.set()
        tx.run(Query(LONG))

    working = threads.submit(lambda: sqlite.session.transact(work))
    assert begun.wait(60)
    assert in_a_child(lambda: dispatched_by_a_child(sqlite)) == "none"
    with pytest.raises(EngineUnavailable, match="to be forked") as caught:
        working.result(60)
    assert caught.value.maybe_stored is False
    threads.submit(push, sqlite, "again").result(60)
    assert count_of(sqlite).ready == 3
    seen = sqlite.session.read(Query("SELECT seen FROM {queues}"))[0].rows
    assert seen != [(1,)], "it was rolled back"


def test_a_fork_interrupts_a_writer_that_waits_in_line(
    sqlite: SQLiteEngine, threads: ThreadPoolExecutor
) -> None:
    """The wait in a long line may be longer than a fork can wait."""
    with held(sqlite.options.file) as turn:
        pushed = threads.submit(push, sqlite, *"abc")
        until(lambda: waiting(turn) == 1, 5, "the producer in line")
        assert in_a_child(lambda: found_open(sqlite.options.file)) == "poolq.db-turn", "the test's"
        with pytest.raises(EngineUnavailable, match="to be forked"):
            pushed.result(60)
    threads.submit(push, sqlite, "again").result(60)
    assert count_of(sqlite).ready == 2


def test_a_child_that_has_inherited_a_connection_refuses_to_open_the_file(
    sqlite: SQLiteEngine,
    threads: ThreadPoolExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So does a child of that; their parent and its next child keep working."""
    monkeypatch.setattr(forks, "INTERRUPT_TIMEOUT", 0.2)
    begun, end = Event(), Event()

    def work(tx: Transaction) -> int:
        tx.run(Query("UPDATE {queues} SET seen = 1"))
        begun.set()
        end.wait(60)
        return tx.run(Query("UPDATE {queues} SET armed = 1"))[0].changed

    def beside() -> str:
        push(SQLiteEngine(f"sqlite:///{tmp_path}/other.db", "poolq"), "a")
        return in_a_child(lambda: dispatched_by_a_child(sqlite))

    working = threads.submit(lambda: sqlite.session.transact(work))
    assert begun.wait(60)
    answer = in_a_child(beside)
    assert answer.startswith("EngineError: ")
    assert "was forked while" in answer
    end.set()
    assert working.result(60) == 1
    assert in_a_child(lambda: dispatched_by_a_child(sqlite)) == "none"
    assert count_of(sqlite).ready == 2


ENDS = """
import sys, threading
from poolq import config
from poolq.engines.sql.session import Query

begun, url, long = threading.Event(), *sys.argv[1:]
engine = config.open_engine(config.load({"engine": url}, environ={}))

def read():
    engine.session.read(Query("SELECT 1"))
    with engine.session.lock:
        begun.set()
        engine.session.read(Query(long))

threading.Thread(target=read, daemon=True).start()
begun.wait()
print("the end", flush=True)
"""


def test_a_process_ends_while_a_thread_is_in_a_long_read(sqlite: SQLiteEngine) -> None:
    """The thread is a daemon, as those are that fetch what a screen shows. It never goes on."""
    command = bound_to_us([sys.executable, "-c", ENDS, f"sqlite:///{sqlite.options.file}", LONG])
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"the end\n")
