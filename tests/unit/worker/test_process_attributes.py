"""What a job changes of its worker's process, and what of it cannot be restored."""

import os
from pathlib import Path

import pytest

from poolq.worker.process_attributes import ProcessAttributes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


def test_a_worker_returns_to_its_folder_and_to_its_umask(folder: Path) -> None:
    umask = os.umask(0o027)
    try:
        attributes = ProcessAttributes()
        attributes.remember()
        os.umask(0)
        os.chdir(folder.parent)
        assert attributes.restore()
        assert (Path.cwd(), os.umask(0o027)) == (folder, 0o027)
    finally:
        os.umask(umask)


def test_a_worker_stays_in_a_folder_that_is_renamed_or_removed(folder: Path) -> None:
    """As old releases are, while jobs of theirs still run."""
    attributes = ProcessAttributes()
    attributes.remember()
    folder.rename(folder.parent / "old")
    assert attributes.restore()
    (folder.parent / "old").rmdir()
    assert attributes.restore()


def test_a_worker_that_cannot_return_to_its_folder_says_so(folder: Path) -> None:
    attributes = ProcessAttributes()
    attributes.remember()
    os.chdir(folder.parent)
    folder.rmdir()
    assert not attributes.restore()
    assert attributes.damage == (
        f"a job has left the working directory of its worker, {folder}, which cannot be entered "
        "again (No such file or directory)"
    )
