"""CONTRIBUTING names the targets that `make` prints, and a commit is checked by one of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.markdown import PAGES, ROOT

TARGETS = set(
    re.findall(r"^([a-z0-9]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
)


def named(page: Path) -> set[str]:
    return set(re.findall(r"(?:`|\$ |env )make ([a-z0-9]+)", page.read_text("utf-8")))


def test_each_target_is_named() -> None:
    assert TARGETS - {"help"} <= named(ROOT / "CONTRIBUTING.md")


def test_no_page_names_another_target() -> None:
    assert set().union(*map(named, PAGES)) <= TARGETS


def test_a_commit_is_refused_where_make_check_fails(tmp_path: Path) -> None:
    """In a repository of its own, whose `make check` fails after it has told that it ran."""
    config = ".pre-commit-config.yaml"
    (tmp_path / config).write_text((ROOT / config).read_text("utf-8"))
    (tmp_path / "Makefile").write_text("check:\n\t@echo checked; false\n")
    home = {"HOME": str(tmp_path), "PRE_COMMIT_HOME": str(tmp_path / "cache")}
    env = {"PATH": os.environ["PATH"], **home}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    assert run("git", "init", "--quiet").returncode == 0
    assert run("git", "add", config, "Makefile").returncode == 0
    assert run(sys.executable, "-m", "pre_commit", "install").returncode == 0
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    refused = run("git", *author, "commit", "--message", "any")
    assert refused.returncode == 1
    assert "\nchecked\n" in refused.stderr + refused.stdout
    (tmp_path / "Makefile").write_text("check:\n")
    run("git", "add", "Makefile")
    assert run("git", *author, "commit", "--message", "any").returncode == 0
