"""Which files count as changed code when a cooldown is over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from poolq.template.code_changes import describe_changes, stamps


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project folder of which two modules are loaded: its own, and an installed one."""
    for name, path in (("freshly_own", "jobs.py"), ("freshly_got", "lib/site-packages/got.py")):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = 1\n")
        sys.modules[name] = module = ModuleType(name)
        module.__file__ = str(file)
    yield tmp_path
    del sys.modules["freshly_own"], sys.modules["freshly_got"]


def add(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("y = 2\n")


@pytest.mark.parametrize("name", ["helper.py", "mails/__init__.py", "mails/texts.py"])
def test_a_new_file_beside_loaded_ones_is_a_change(project: Path, name: str) -> None:
    add(project / "mails/__init__.py")
    before = stamps(project)
    add(project / name)
    os.utime(project / name, (1, 1))
    assert stamps(project) != before


def test_a_deleted_loaded_file_is_a_change(project: Path) -> None:
    before = stamps(project)
    (project / "jobs.py").unlink()
    assert stamps(project) != before


@pytest.mark.parametrize("name", ["notes.txt", "data/one.py", "lib/site-packages/got.py"])
def test_other_files_are_no_change(project: Path, name: str) -> None:
    before = stamps(project)
    assert before
    add(project / name)
    assert stamps(project) == before


def test_changed_files_are_named(project: Path) -> None:
    before = stamps(project)
    assert not describe_changes(before, before, project)
    (project / "jobs.py").unlink()
    for name in ("a.py", "b.py", "c.py", "d.py"):
        add(project / name)
    assert describe_changes(before, stamps(project), project) == "a.py, b.py, c.py, 2 more"
