"""One pool for each name: its lock, its folder, and its socket under attack."""

from __future__ import annotations

import random
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.engines import sqlite
from tests.support.cli import Command
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.talking import connect, files, poolq
from tests.support.wait import until

pytestmark = sqlite


def test_a_second_pool_of_a_name_is_refused_and_names_the_first(project: Project) -> None:
    pool = project.ready(1)
    again = project.pool(1, RUNTIME_DIRECTORY=str(pool.runtime))
    assert again.wait_exit() == 73
    where = f"pid {pool.pid}, started in {project.folder}"
    assert f"a pool named 'default' runs here already ({where})" in again.log
    assert again.log.count("\n") == 1
    other = project.ready(1, "--name=e mails/ü", RUNTIME_DIRECTORY=str(pool.runtime))
    named = poolq(pool, "status", "--json", "--name=e mails/ü")
    assert named.json["pid"] == other.pid
    unknown = poolq(pool, "status", "--name=none")
    assert unknown.code == 69
    assert "choose one with --name: 'default', 'e mails/ü'" in unknown.line
    pool.kill_tree()
    gone = poolq(pool, "status")
    assert (gone.code, "choose one with --name: 'e mails/ü'" in gone.line) == (69, True)


def test_the_pools_of_two_projects_side_by_side_have_their_names(
    project: Project, tmp_path: Path
) -> None:
    """A command in a folder reaches its own project's pool, and no other."""
    shop, mail = tmp_path / "shop", tmp_path / "mail"
    for folder in (shop, mail):
        folder.mkdir()
        (folder / "poolq.toml").touch()
    pool = project.ready(1, "--name=shop")
    own = {"RUNTIME_DIRECTORY": str(pool.runtime), "POOLQ_NAME": ""}
    in_shop, in_mail = Command(shop, **own), Command(mail, **own)
    assert in_shop("status", "--json").json["pool"] == "shop"
    for command in (("stop", "--now"), ("drain",), ("scale", "3"), ("top", "--once")):
        refused = in_mail(*command)
        assert (refused.code, refused.out) == (69, ""), command
        assert refused.line.startswith(
            "no pool named 'mail' runs here; choose one with --name: 'shop' (looked in "
        )
    other = project.ready(1, RUNTIME_DIRECTORY=str(pool.runtime), POOLQ_NAME="mail")
    assert in_mail("status", "--json").json["pid"] == other.pid
    assert in_mail("stop", "--now", "--wait").out == "pool mail has ended\n"
    assert other.wait_exit() == 0
    assert in_mail("scale", "2", "--name=shop").out == "pool shop is scaled to 2 workers\n"
    assert in_shop("stop").code == 0
    assert pool.wait_exit() == 0


def test_the_name_of_a_killed_master_is_free_while_its_worker_finishes(project: Project) -> None:
    pool = project.ready(1)
    id = project.dispatch("Held")
    worker = pool.until_runs(id)
    pool.kill_master()
    assert poolq(pool, "status").code == 69
    again = project.ready(1, RUNTIME_DIRECTORY=str(pool.runtime))
    assert worker.pid in {one.pid for one in pool.workers()}
    assert poolq(pool, "status", "--json").json["pid"] == again.pid
    assert (pool.runtime / "default.lock").read_text() == f"{again.pid} default\n"
    project.ledger.open()
    pool.until_gone()
    assert project.ledger.times("end") == {id: 1}
    assert poolq(pool, "status").code == 0


def test_no_child_inherits_the_lock_or_the_socket(project: Project) -> None:
    """Not with and not without templates; also of who was forked while a client was there."""
    for flags in ((), ("--no-preload",)):
        pool = project.ready(2, *flags)
        waiting = connect(pool)
        waiting.sendall(b"{")
        pid = pool.pid
        until(lambda pid=pid: len(files(pid)) == 3, 5, "the client at the master")
        poolq(pool, "scale", "3")
        pool.until_idle(3)
        poolq(pool, "reload", "--wait")
        private = files(pool.pid)
        assert any(name.endswith("/default.lock") for name in private)
        for one in pool.processes():
            if one.pid != pool.pid and not one.title.startswith("poolq: master"):
                assert not files(one.pid) & private, one
        waiting.close()
        pool.signal(signal.SIGTERM)
        assert pool.wait_exit() == 0


@pytest.mark.parametrize("variable", ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"])
def test_without_a_runtime_folder_a_pool_does_not_start(project: Project, variable: str) -> None:
    env = {"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": "", variable: f"{project.folder}/none"}
    pool = project.pool(1, **env)
    assert pool.wait_exit() == 73
    assert pool.log.count("\n") == 1
    assert f"{project.folder}/none" in pool.log
    assert variable in pool.log


def test_a_lock_that_cannot_be_created_is_reported(project: Project) -> None:
    folder = project.folder / "full"
    folder.mkdir(0o700)
    (folder / "default.lock").symlink_to("/dev/full")
    pool = project.pool(1, RUNTIME_DIRECTORY=str(folder))
    assert pool.wait_exit() == 73
    assert f"{folder}/default.lock cannot be created" in pool.log


def test_a_lost_socket_is_reported(project: Project) -> None:
    pool = project.ready(1)
    pool.stop_master()
    (pool.runtime / "default.sock").unlink()
    lost = poolq(pool, "status")
    assert lost.code == 69
    assert f"(pid {pool.pid}) runs, but its socket" in lost.line
    pool.continue_master()
    pool.until_said("were deleted; they have been created again")
    assert poolq(pool, "status", "--json").json["pid"] == pool.pid


def clean_up(pool: Pool, what: str) -> None:
    """What tidies temporary folders does."""
    if what == "folder":
        shutil.rmtree(pool.runtime)
    else:
        for file in pool.runtime.glob(what):
            file.unlink(missing_ok=True)  # a pool that is refused may delete its own, too


@pytest.mark.parametrize("what", ["default.*", "folder"])
def test_a_pool_whose_files_are_deleted_is_found_again(project: Project, what: str) -> None:
    pool = project.ready(1)
    clean_up(pool, what)
    pool.until_said("were deleted; they have been created again")
    assert poolq(pool, "status", "--json").json["pid"] == pool.pid
    again = project.pool(1, RUNTIME_DIRECTORY=str(pool.runtime))
    assert again.wait_exit() == 73
    assert poolq(pool, "scale", "2").code == 0
    pool.until_idle(2)
    for one in pool.processes():
        if one.pid != pool.pid:
            assert not files(one.pid) & files(pool.pid), one
    assert poolq(pool, "stop", "--wait").code == 0
    assert list(pool.runtime.iterdir()) == []


def test_a_second_pool_is_refused_though_the_first_has_lost_its_files(project: Project) -> None:
    """Also before the first has noticed it, which it cannot here."""
    pool = project.ready(1)
    pool.stop_master()
    clean_up(pool, "folder")
    pool.runtime.mkdir(0o700)
    for _ in range(2):
        again = project.pool(1, RUNTIME_DIRECTORY=str(pool.runtime))
        assert again.wait_exit() == 73
        assert f"a pool named 'default' runs here already (pid {pool.pid}" in again.log
        assert list(pool.runtime.iterdir()) == []
    other = project.ready(1, "--name=other", RUNTIME_DIRECTORY=str(pool.runtime))
    assert "runs here already" not in other.log
    pool.continue_master()
    pool.until_said("were deleted; they have been created again")
    assert poolq(pool, "status", "--json").json["pid"] == pool.pid
    pool.kill_tree()
    fresh = project.ready(1, RUNTIME_DIRECTORY=str(pool.runtime))
    assert poolq(pool, "status", "--json").json["pid"] == fresh.pid


def test_of_many_pools_one_gets_a_name_whose_files_are_deleted(project: Project) -> None:
    first = project.pool(1)
    rivals = [project.pool(1, RUNTIME_DIRECTORY=str(first.runtime)) for _ in range(5)]
    everybody = [first, *rivals]

    def over() -> bool:
        clean_up(first, "default.*")
        left = [pool for pool in everybody if pool.code is None]
        return len(left) == 1 and "starts" in left[0].log

    until(over, 30, "one pool")
    assert sorted(str(pool.code) for pool in everybody) == ["73"] * 5 + ["None"]
    (begun,) = [pool for pool in everybody if "pool default starts" in pool.log]
    begun.until_ready(1)


# hostile clients


def test_hostile_clients_delay_neither_jobs_nor_requests(project: Project) -> None:
    pool = project.ready(2)
    rand = random.Random(7)
    held = [connect(pool) for _ in range(60)]  # more than there is room for
    ids = project.dispatch_many("Quick", 50)
    for number in range(2000):
        line = connect(pool)
        with suppress(OSError):
            if number % 4 == 0:
                line.sendall(rand.randbytes(rand.randrange(1, 6000)))
            elif number % 4 == 1:
                line.sendall(b'{"v":1,"do":"sta')
            elif number % 4 == 2:
                line.sendall(b'{"v":1,"do":"status"}\n' * 50)  # and takes no answer
        if number % 10:
            line.close()
        else:
            held.append(line)
        if number % 500 == 0:
            assert poolq(pool, "status").code == 0
    until(project.settled)
    assert project.ledger.times("end") == dict.fromkeys(ids, 1)
    assert poolq(pool, "reload", "--wait").code == 0
    for line in held:
        line.close()
    until(lambda: len(files(pool.pid)) == 2, 10, "no client at the master")
    assert pool.code is None


def test_commands_without_a_pool_fail_with_a_clear_message(project: Project) -> None:
    command = Command(project.folder, RUNTIME_DIRECTORY=str(project.folder / "none"))
    for order in ("status", "pause", "resume", "scale 2", "reload", "drain", "stop", "top"):
        done = command(*order.split())
        assert done.code == 69
        assert "no pool named 'default' runs here, nor does any other" in done.line
    assert command("reload", "--timeout=soon").code == 2
