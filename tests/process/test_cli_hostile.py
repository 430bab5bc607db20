"""Bad input at the command line, in files and in the store: one line, and never a traceback."""

from __future__ import annotations

import ctypes
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli import Command, Done, NewCommand, environment

NINES = "9" * 5000
NO_UTF8 = os.fsdecode(b"\xff\xfe")


@pytest.fixture
def poolq(poolq: Command) -> Command:
    (poolq.folder / "jobs.py").touch()
    return poolq


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["queue", "pause", NO_UTF8], 2, r"b'\xff\xfe' is not UTF-8"),
        (["failed", "ls", f"--limit={2**63}"], 2, "is not in the range 1<=x<=1000000"),
        (["job", "dispatch", "jobs:A", f'{{"a": {NINES}}}'], 2, "the payload is not JSON: "),
        (["job", "dispatch", "jobs:A", f"--attempts={NINES}"], 2, "--attempts"),
        (["run", f"--procs={NINES}"], 2, "it must be a whole number from 1 to 1024"),
        (["run", "--engine=redis://a..b"], 78, "'redis://a..b' has an invalid host"),
        (
            ["queue", "ls", f"--engine=mysql://u:secret@{'x' * 64}.org/db"],
            78,
            "has an invalid host",
        ),
    ],
)
def test_an_argument(poolq: Command, args: list[str], code: int, said: str) -> None:
    done = poolq(*args)
    assert said in done.line
    assert (done.code, done.out) == (code, "")
    assert len(done.line) < 1200
    assert "secret" not in done.line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"a = {'[' * 5000}{']' * 5000}", "cannot be read: it is nested too deeply"),
        (f"procs = {'9' * 400}", "it must be a whole number from 1 to 1024"),
        (f"procs = {NINES}", "cannot be read: Exceeds the limit"),
        (f"procs = 0x{'f' * 5000}", "is a value too large to be shown; it must be a whole number"),
        ('log_file = "a\\u0000b"', "it must be a text without NUL"),
        ('engine = "sqlite:///a\\u0000b.db"', "it must be a text without NUL"),
    ],
)
def test_a_file_of_settings(poolq: Command, text: str, said: str) -> None:
    (poolq.folder / "poolq.toml").write_text(text)
    done = poolq("config", "show")
    assert said in done.line
    assert len(done.line) < 500
    assert (done.code, done.out) == (78, "")


@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
def test_closed_streams(poolq: Command, closed: tuple[int, ...]) -> None:
    """The store's file would otherwise take the place of stdout."""

    def close() -> None:
        for fd in closed:
            os.close(fd)

    for args in ("job dispatch jobs:A --by-name", "queue ls --json", "queue ls"):
        assert NewCommand(poolq.folder, close)(*args.split()) == Done(0, "", ""), args
    assert poolq("queue", "ls", "--json").json["queues"][0]["ready"] == 1


def test_failed_at_no_time_that_there_is(poolq: Command) -> None:
    poolq("db", "migrate")
    with sqlite3.connect(poolq.folder / "poolq.db") as base:
        base.executemany(
            "INSERT INTO poolq_failed (id, queue, at, attempt, crashes, failing, history, body)"
            " VALUES (?, 'q', ?, 1, 0, 0, x'', x'7b7d')",
            [("a" * 32, 10**18), ("b" * 32, -(10**18))],
        )
    found = poolq("failed", "ls", "--json").json["failed"]
    assert [job["failed"] for job in found] == [
        "9999-01-01T00:00:00.000000Z",
        "1970-01-01T00:00:00.000000Z",
    ]
    assert len(poolq("failed", "ls").out.splitlines()) == 3
    assert "9999-01-01" in poolq("job", "show", "a" * 32).out


def test_the_doctor_of_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    poolq = Command(folder, POOLQ_ENGINE=f"sqlite:///{folder}/poolq.db")
    poolq("db", "migrate")
    assert poolq("doctor", "--json").code == 0
    (folder / "poolq.db").chmod(0o444)
    done = NewCommand(tmp_path, obey_modes, **poolq.env)("doctor", "--json")
    levels = {check["name"]: check["level"] for check in done.json["checks"]}
    assert (done.code, levels["writable"]) == (1, "bad")


def test_the_doctor_on_a_full_disk(tmp_path: Path) -> None:
    """No file may grow. An open connection keeps the files beside the database."""
    poolq = Command(tmp_path, POOLQ_ENGINE=f"sqlite:///{tmp_path}/poolq.db")
    poolq("db", "migrate")
    assert poolq("doctor", "--json").code == 0
    with closing(sqlite3.connect(tmp_path / "poolq.db")) as other:
        other.execute("SELECT count(*) FROM sqlite_master").fetchall()
        done = NewCommand(tmp_path, lets_no_file_grow, **poolq.env)("doctor", "--json")
    levels = {check["name"]: check["level"] for check in done.json["checks"]}
    assert (done.code, levels["writable"]) == (1, "bad")
    assert poolq("doctor", "--json").code == 0
    assert poolq("limit", "ls", "--json").json == {"limits": []}, "it has left nothing"


def lets_no_file_grow() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def obey_modes() -> None:
    """Root, too, cannot write from now on to what is not writable: CAP_DAC_OVERRIDE is gone."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP


def test_no_module_is_imported_from_a_public_folder_in_which_a_pool_is_started(
    tmp_path: Path,
) -> None:
    """Neither the jobs nor what poolq itself imports."""
    public, left = tmp_path / "public", tmp_path / "imported"
    public.mkdir()
    public.chmod(0o1777)
    for name in ("jobs", "msgspec", "dotenv", "queue", "poolq"):
        (public / f"{name}.py").write_text(f"open({str(left)!r}, 'a').write('{name} ')")
    run = [sys.executable, "-P", "-m", "poolq", "run", "--procs=1", "--max-spawn-failures=1"]
    env = environment(RUNTIME_DIRECTORY=str(tmp_path), POOLQ_ENGINE=f"sqlite:///{tmp_path}/q.db")
    done = subprocess.run(run, cwd=public, env=env, capture_output=True, timeout=60, check=False)
    assert not left.exists(), left.read_text()
    assert done.returncode == 3
    assert b"module 'jobs' in" in done.stderr
    assert b"is not loaded: everybody may write to" in done.stderr
