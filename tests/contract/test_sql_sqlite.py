"""SQLite only: writers in line, a full disk, a file that is not a database."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from poolq.engines.base import Push
from poolq.engines.sqlite import SQLiteEngine
from poolq.engines.sqlite.checks import filesystem
from poolq.errors import ConfigError, EngineError, EngineUnavailable
from poolq.jobs.unique import UniqueKey
from tests.contract.conftest import OpenEngine
from tests.contract.crowd import Crowd
from tests.contract.helpers import Worker, count_of, named, new_id, push, total
from tests.contract.writers import push_until_all_have
from tests.support.wait import until

MIB = 1 << 20

HOLD = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the middle of a transaction; it ends when its input is closed."""
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o640), (0o002, 0o660), (0o077, 0o600)])
def test_the_files_are_private(tmp_path: Path, umask: int, mode: int) -> None:
    """Only the owner and the group, as the umask allows, can read payloads."""
    before = os.umask(umask)
    try:
        with closing(SQLiteEngine(f"sqlite:///{tmp_path}/poolq.db", "poolq")) as engine:
            push(engine, "a")
            Worker(engine).claim()
            found = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    files = ("poolq.db", "poolq.db-wal", "poolq.db-shm", "poolq.db-turn", "poolq.db-line")
    assert found == dict.fromkeys(files, mode)


def test_the_files_beside_the_database_are_for_those_who_may_use_it(tmp_path: Path) -> None:
    """Whoever creates them: a process with a stricter umask, or root."""
    file = tmp_path / "poolq.db"
    with closing(SQLiteEngine(f"sqlite:///{file}", "poolq")) as engine:
        push(engine, "a")
    for other in set(tmp_path.iterdir()) - {file}:
        other.unlink()
    file.chmod(0o660)
    owner = 61357 if os.geteuid() == 0 else os.geteuid()
    os.chown(file, owner, -1)
    before = os.umask(0o077)
    try:
        with closing(SQLiteEngine(f"sqlite:///{file}", "poolq")) as engine:
            Worker(engine).claim()
            files = {other.name: other.stat() for other in tmp_path.iterdir()}
    finally:
        os.umask(before)
    found = {name: (status.st_uid, status.st_mode & 0o777) for name, status in files.items()}
    expected = {f"poolq.db{end}": (owner, 0o660) for end in ("", "-wal", "-shm", "-turn", "-line")}
    assert found == expected


def test_a_stopped_lock_holder_does_not_block_forever(sqlite: SQLiteEngine) -> None:
    push(sqlite, "before")
    with holder(sqlite.options.file) as process:
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(EngineUnavailable, match="by a process that may be stopped") as caught:
            push(sqlite, "a")
        assert time.monotonic() - began > 4.5
        assert caught.value.maybe_stored is False
        assert len(caught.value.ids) == 1
        assert count_of(sqlite).ready == 1, "who reads waits for nobody"
    push(sqlite, "b")
    assert named(Worker(sqlite).claim(9)) == ["before", "b"]


def test_a_waiting_writer_writes_as_soon_as_it_can(
    sqlite: SQLiteEngine, threads: ThreadPoolExecutor
) -> None:
    push(sqlite, "before")
    with holder(sqlite.options.file) as process:
        pushed = threads.submit(push, sqlite, "a")
        until(lambda: is_next(Path(f"{sqlite.options.file}-turn")), 5, "the writer to be next")
        process.kill()
        pushed.result(60)
    threads.submit(sqlite.close).result()
    assert count_of(sqlite).ready == 2


def is_next(turn: Path) -> bool:
    """Whether a writer holds the turn."""
    with turn.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_single_job_does_not_wait_for_a_turn_without_a_writer(sqlite: SQLiteEngine) -> None:
    push(sqlite, "before")
    with Path(f"{sqlite.options.file}-turn").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        push(sqlite, "a")
    assert count_of(sqlite).ready == 2


def test_a_job_that_gives_way_is_counted_in_the_act_that_finds_it_out(sqlite: SQLiteEngine) -> None:
    """One transaction, so that no death can come in between."""
    first, second = (Push(new_id(), "q", b"a", unique=UniqueKey("k", "end")) for _ in range(2))
    sqlite.push([first])
    seen: list[str] = []
    raw = sqlite.session.raw()
    raw.set_trace_callback(seen.append)
    assert sqlite.push([second]) == [first.id]
    raw.set_trace_callback(None)
    assert seen.count("COMMIT") == 1
    assert total(sqlite, "skipped") == 1


def test_no_writer_starves(sqlite: SQLiteEngine, tmp_path: Path) -> None:
    """Eight processes do nothing but write, four of them thousands of jobs at a time."""
    sqlite.now()
    (folder := tmp_path / "pushed").mkdir()
    with Crowd(8) as crowd:
        pushed = crowd.act(push_until_all_have, sqlite.url, sqlite.namespace, folder, 3)
    assert min(pushed) >= 3
    assert max(pushed[1::2]) <= 15, "of those with thousands, none has had several turns of another"


def test_a_full_disk_is_reported_and_loses_nothing(sqlite: SQLiteEngine) -> None:
    push(sqlite, "a")
    raw = sqlite.session.raw()
    pages = raw.execute("PRAGMA page_count").fetchone()[0]
    raw.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(EngineUnavailable, match="full") as caught:
        push(sqlite, "x" * MIB)
    assert caught.value.maybe_stored is False
    assert len(caught.value.ids) == 1
    sqlite.session.disconnect()  # as before a fork, which must not pass on the locks
    assert sqlite.options.file not in [file.resolve() for file in Path("/proc/self/fd").iterdir()]
    push(sqlite, "b")
    assert named(Worker(sqlite).claim(9)) == ["a", "b"]


def test_a_file_that_is_not_a_database_is_left_alone(tmp_path: Path, opened: OpenEngine) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but something that somebody wrote\n" * 99)
    before = file.read_bytes()
    engine = opened(f"sqlite:///{file}", "poolq")
    with pytest.raises(EngineError, match="not a SQLite database") as caught:
        push(engine, "a")
    assert str(file) in str(caught.value)
    assert file.read_bytes() == before


def test_a_damaged_file_is_reported(sqlite: SQLiteEngine, opened: OpenEngine) -> None:
    push(sqlite, *map(str, range(2000)))
    sqlite.close()
    with closing(sqlite3.connect(sqlite.options.file)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(sqlite.options.file.read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    sqlite.options.file.write_bytes(content)
    with pytest.raises(EngineError, match="malformed") as caught:
        opened(sqlite.url, "poolq").counts()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing/poolq.db", "folder"])
def test_the_error_says_why_a_file_cannot_be_opened(
    tmp_path: Path, opened: OpenEngine, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    engine = opened(f"sqlite:///{tmp_path}/{name}", "poolq")
    with pytest.raises(EngineUnavailable, match="folder") as caught:
        push(engine, "a")
    assert caught.value.maybe_stored is False
    assert "\n" not in str(caught.value)


def test_a_deleted_file_gets_no_more_jobs(sqlite: SQLiteEngine) -> None:
    """They would go into a file without a name, and be lost with the process."""
    push(sqlite, "a")
    for file in sqlite.options.file.parent.iterdir():
        file.unlink()

    def into_a_new_one() -> bool:
        push(sqlite, "b")
        return sqlite.options.file.exists()

    until(into_a_new_one, 5)
    with closing(SQLiteEngine(sqlite.url, "poolq")) as other:
        assert other.counts()[0].ready > 0


def test_synchronous_is_an_option(tmp_path: Path, opened: OpenEngine) -> None:
    for option, level in (("", 1), ("?synchronous=full", 2), ("?synchronous=NORMAL", 1)):
        engine: SQLiteEngine = opened(f"sqlite:///{tmp_path}/poolq.db{option}", "poolq")
        engine.now()
        assert engine.session.raw().execute("PRAGMA synchronous").fetchone() == (level,)


@pytest.mark.parametrize("query", ["synchronous=sometimes", "journal=wal"])
def test_an_unknown_option_is_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="synchronous"):
        SQLiteEngine(f"sqlite:///poolq.db?{query}", "poolq")


def test_the_type_of_a_file_system_is_found() -> None:
    mounts = "/dev/a / ext4 rw 0 0\nhost:/x /srv/shared nfs4 rw 0 0\n/dev/b /srv\\040x xfs rw 0 0\n"
    assert filesystem(Path("/srv/shared/poolq.db"), mounts) == "nfs4"
    assert filesystem(Path("/srv/sharedness/poolq.db"), mounts) == "ext4"
    assert filesystem(Path("/srv x/poolq.db"), mounts) == "xfs"
    assert filesystem(Path("/poolq.db"), "") == ""
