"""The runtime folder, its files, and who may start a pool there."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.errors import PoolStartError
from poolq.system.runtime_folder import (
    CHECK_INTERVAL,
    PoolLock,
    RunningPool,
    connect,
    file_name,
    pool_folder,
    running_pools,
    search_folders,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_which_folder_it_is(tmp_path: Path) -> None:
    given, session, temporary = tmp_path / "given", tmp_path / "session", tmp_path / "tmp"
    for folder in (given, session, temporary):
        folder.mkdir(0o700)
    environ = {"TMPDIR": str(temporary)}
    assert pool_folder(environ) == temporary / f"poolq-{os.geteuid()}"
    environ["XDG_RUNTIME_DIR"] = str(session)
    assert pool_folder(environ) == session / "poolq"
    environ["RUNTIME_DIRECTORY"] = f"{given}:/another"
    assert pool_folder(environ) == given
    assert search_folders(environ) == [given]
    for made in (temporary / f"poolq-{os.geteuid()}", session / "poolq"):
        assert mode(made) == 0o700
    assert pool_folder(environ) == given


def test_a_command_looks_where_a_pool_may_be(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": "/somewhere"}
    own = Path("/somewhere") / f"poolq-{os.geteuid()}"
    assert search_folders(environ)[:3] == [tmp_path / "poolq", own, Path("/run/poolq")]
    assert running_pools(environ) == []


@pytest.mark.parametrize("variable", ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"])
def test_a_file_is_no_folder(tmp_path: Path, variable: str) -> None:
    (tmp_path / "poolq").touch()
    place = tmp_path / "poolq" if variable == "RUNTIME_DIRECTORY" else tmp_path
    with pytest.raises(PoolStartError, match="it is not a directory"):
        pool_folder({variable: str(place)})


def test_one_that_others_may_enter_or_have_laid_is_refused(tmp_path: Path) -> None:
    environ = {"TMPDIR": str(tmp_path)}
    folder = tmp_path / f"poolq-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(0o770)
    with pytest.raises(PoolStartError, match="other users can access it"):
        pool_folder(environ)
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PoolStartError, match="it is not a directory"):
        pool_folder(environ)


def test_one_that_is_given_may_be_entered_but_not_written_to_by_others(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    tmp_path.chmod(0o755)
    assert pool_folder(environ) == tmp_path
    tmp_path.chmod(0o1777)
    with pytest.raises(PoolStartError, match=r"RUNTIME_DIRECTORY\).*everybody may write to"):
        pool_folder(environ)
    tmp_path.chmod(0o755)


def test_one_that_is_given_may_not_be_another_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = os.geteuid()
    if uid == 0:
        os.chown(tmp_path, 4242, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(PoolStartError, match=r"RUNTIME_DIRECTORY\).* belongs to"):
        pool_folder({"RUNTIME_DIRECTORY": str(tmp_path)})


def test_a_hold_has_two_files_for_its_owner_alone_and_leaves_none(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 120)  # longer than the address of a socket
    folder.mkdir()
    mask = os.umask(0)
    try:
        hold = PoolLock("shop/mails", folder)
    finally:
        os.umask(mask)
    lock, sock = folder / "shop%2Fmails.lock", folder / "shop%2Fmails.sock"
    assert sorted(folder.iterdir()) == [lock, sock]
    assert (mode(lock), mode(sock)) == (0o600, 0o600)
    assert lock.read_text() == f"{os.getpid()} shop/mails\n"
    assert not any(os.get_inheritable(fd) for fd in hold.descriptors())
    hold.release()
    assert list(folder.iterdir()) == []


def test_what_a_dead_pool_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "default.lock").write_text("4194304 default, and more than is written now\n")
    (tmp_path / "default.sock").touch()
    assert running_pools({"RUNTIME_DIRECTORY": str(tmp_path)}) == []
    hold = PoolLock("default", tmp_path)
    assert (tmp_path / "default.lock").read_text() == f"{os.getpid()} default\n"
    hold.release()


@pytest.mark.parametrize("ending", ["lock", "sock"])
def test_a_file_that_cannot_be_made_is_named(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"default.{ending}").mkdir()
    with pytest.raises(
        PoolStartError, match=rf"{tmp_path}/default\.{ending} cannot be created: Is a dir"
    ):
        PoolLock("default", tmp_path)


@contextmanager
def closing_lock(folder: Path) -> Iterator[PoolLock]:
    made = PoolLock("default", folder)
    try:
        yield made
    finally:
        made.release()


@given(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=64))
def test_any_name_makes_a_files_name_of_its_own(one: str, other: str) -> None:
    for name in (one, other):
        made = file_name(name)
        assert "/" not in made
        assert "\0" not in made
        assert len(f"/proc/self/fd/1023/{made}.sock".encode()) < 108
    assert (file_name(one) == file_name(other)) == (one == other)


# files that are deleted under their owner


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[PoolLock]:
    folder = tmp_path / "run"
    folder.mkdir(0o700)
    made = PoolLock("default", folder)
    yield made
    made.release()


def deleted(folder: Path, what: str) -> None:
    if what == "folder":
        shutil.rmtree(folder)
    for file in folder.glob(what):
        file.unlink()


def is_heard(hold: PoolLock, folder: Path) -> bool:
    with closing(connect(RunningPool("default", os.getpid(), folder), 1)):
        line, _ = hold.listener.accept()
        line.close()
    return True


def held_by_another(folder: Path) -> subprocess.Popen[str]:
    """A process that has locked the file, and has no marker."""
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX);"
        "print('locked', flush=True); sys.stdin.read()"
    )
    made = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "default.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "locked\n"
    return made


@pytest.mark.parametrize("what", ["*.lock", "*.sock", "*", "folder"])
def test_what_is_deleted_is_created_again(hold: PoolLock, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "run"
    for now in (10.0, 20.0):
        assert hold.restore_files(now) is None
        deleted(folder, what)
        assert hold.restore_files(now + 0.1) is None, "it looks twice a second"
        text = f"files in the runtime folder {folder} were deleted; they have been created again"
        assert hold.restore_files(now + CHECK_INTERVAL) == ("warning", text)
        assert sorted(file.name for file in folder.iterdir()) == ["default.lock", "default.sock"]
        assert {mode(file) for file in folder.iterdir()} == {0o600}
        assert mode(folder) == 0o700
        assert (folder / "default.lock").read_text() == f"{os.getpid()} default\n"
        assert is_heard(hold, folder)
        assert not any(os.get_inheritable(fd) for fd in hold.descriptors())


def test_a_file_that_is_locked_by_another_is_waited_for(hold: PoolLock, tmp_path: Path) -> None:
    """The old lock is kept. A new pool leaves at once, so only the second time is an error."""
    folder = tmp_path / "run"
    deleted(folder, "*.lock")
    other = held_by_another(folder)
    said = [hold.restore_files(float(now)) for now in range(4)]
    assert said[0] is said[2] is said[3] is None
    assert said[1] is not None
    assert f"runs here already (pid {other.pid}" in said[1][1]
    other.communicate("")
    said = [hold.restore_files(4.0)]
    assert said[0] is not None
    assert "created again" in said[0][1]


def test_a_folder_that_somebody_else_has_laid_meanwhile_is_not_used(
    hold: PoolLock, tmp_path: Path
) -> None:
    deleted(tmp_path / "run", "folder")
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    said = [hold.restore_files(float(now)) for now in range(3)]
    assert [one is None for one in said] == [True, False, True]
    assert said[1] is not None
    assert "other users can access it" in said[1][1]
    assert list((tmp_path / "run").iterdir()) == []


def test_nor_is_one_that_was_given_and_others_may_write_to_now(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir(0o755)
    with closing_lock(folder) as hold:
        shutil.rmtree(folder)
        folder.mkdir()
        folder.chmod(0o777)
        assert hold.restore_files(0.0) is None
        said = hold.restore_files(1.0)
        assert said is not None
        assert "everybody may write to" in said[1]
        assert list(folder.iterdir()) == []


def test_what_another_has_put_in_its_place_is_not_deleted_in_the_end(tmp_path: Path) -> None:
    made = PoolLock("default", tmp_path)
    deleted(tmp_path, "*")
    other = held_by_another(tmp_path)
    made.release()
    assert [file.name for file in tmp_path.iterdir()] == ["default.lock"]
    other.communicate("")
