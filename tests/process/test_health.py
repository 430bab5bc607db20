"""`poolq health` of real pools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.engines import sqlite
from tests.support.cli import Command, environment
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.talking import poolq
from tests.support.wait import until

pytestmark = sqlite

#: What takes long to import, and what a probe has no need of.
HEAVY = ("click", "msgspec", "rich", "redis", "psutil", "json", "poolq.config.merged", "hashlib")
PROBE = f"""
import sys
sys.argv = ["poolq", "health", "--ready"]
from poolq.cli import main
code = main()
print(code, [name for name in {HEAVY!r} if name in sys.modules])
"""


def health(pool: Pool, *args: str) -> tuple[int, str]:
    done = poolq(pool, "health", *args)
    assert done.out == ""
    return done.code, done.line if done.err else ""


def test_a_pool_that_is_well_paused_hung_and_gone(project: Project) -> None:
    pool = project.ready(1)
    assert health(pool, "--live") == (0, "")
    assert health(pool, "--ready") == (0, "")
    assert health(pool, "--ready", "--name=default") == (0, "")
    assert health(pool, "--ready", "--name", "default") == (0, "")  # by way of the whole command
    assert health(pool, "--live", "--name=x") == (69, "no pool named 'x' runs here")
    code, why = health(pool)
    assert (code, why.partition(" (")[0]) == (2, "give one of --live and --ready")
    poolq(pool, "pause")
    assert health(pool, "--live") == (0, "")
    assert health(pool, "--ready") == (1, "pool 'default' is not ready: it is paused")
    poolq(pool, "resume")
    assert health(pool, "--ready") == (0, "")
    pool.stop_master()
    assert health(pool, "--live") == (1, "pool 'default' is not live: no answer within 2 s")
    pool.continue_master()
    assert health(pool, "--live") == (0, "")
    pool.kill_tree()
    assert health(pool, "--live") == (69, "no pool named 'default' runs here")


def test_a_pool_without_its_broker_is_live_but_not_ready(project: Project) -> None:
    pool = project.ready(1, "--node-ttl=1")
    with project.without_database():
        code, why = until(lambda: (found := health(pool, "--ready"))[0] and found)
        assert code == 1
        assert why.startswith("pool 'default' is not ready: the engine has not answered for")
        assert health(pool, "--live") == (0, "")
    until(lambda: health(pool, "--ready") == (0, ""))


def test_the_name_is_read_from_where_all_settings_are(project: Project, tmp_path: Path) -> None:
    pool = project.ready(1, "--name=mine")
    for file, text in (
        (".env", "POOLQ_NAME=mine\n"),
        ("poolq.toml", 'name = "mine"\n'),
        ("pyproject.toml", '[tool.poolq]\nname = "mine"\n'),
    ):
        folder = tmp_path / f"beside{file}" / "deeper"
        folder.mkdir(parents=True)
        (folder.parent / file).write_text(text)
        command = Command(folder, RUNTIME_DIRECTORY=str(pool.runtime), POOLQ_NAME="")
        assert command("health", "--ready").code == 0, file
        assert command("health", "--ready", POOLQ_NAME="other").code == 69, file
        assert command("health", "--ready", POOLQ_NAME="mine").code == 0, file


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("shop.eu", [(".env", "OTHER=1\n"), (".env", "")]),
        (
            "mine-1",
            [
                ("poolq.toml", 'name = "mine-1"\napp = ["jobs"]\n'),
                ("pyproject.toml", '[project]\nname = "it"\n[tool]\npoolq.name = "mine-1"\n'),
            ],
        ),
    ],
)
def test_a_probe_imports_next_to_nothing(
    project: Project, tmp_path: Path, name: str, files: list[tuple[str, str]]
) -> None:
    pool = project.ready(1, f"--name={name}")
    for number, (file, text) in enumerate(files):
        folder = tmp_path / f"{number}" / "shop.eu"
        folder.mkdir(parents=True)
        if text:
            (folder / file).write_text(text)
        done = subprocess.run(
            [sys.executable, "-S", "-c", PROBE],
            cwd=folder,
            env=environment(RUNTIME_DIRECTORY=str(pool.runtime), POOLQ_NAME=""),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "0 []\n", file
