"""Folders that others may write to give no settings and no code."""

import os
import stat
from pathlib import Path

import pytest

from poolq import config
from poolq.config.trusted_folders import reason_for, reason_for_distrust
from poolq.errors import AppError
from tests.unit.jobs.test_registry import load as load_app

ME, MINE, ROOT, EVE = 1000, 1000, 0, 1001


def found(mode: int, uid: int, gid: int = MINE) -> os.stat_result:
    return os.stat_result((stat.S_IFDIR | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "chosen", "why"),
    [
        (0o755, ME, MINE, False, ""),
        (0o700, ROOT, ROOT, False, ""),
        (0o775, ME, MINE, False, ""),  # a group of the user's own, as Debian has it
        (0o775, ROOT, ROOT, False, ""),
        (0o755, EVE, EVE, True, ""),  # a service in a folder that the deploying user owns
        (0o755, EVE, EVE, False, "/srv belongs to user 1001"),
        (0o777, ME, MINE, True, "everybody may write to /srv"),
        (0o1777, ROOT, ROOT, True, "everybody may write to /srv"),
        (0o1777, ROOT, ROOT, False, "everybody may write to /srv"),
        (0o775, ME, EVE, True, "others of group 1001 may write to /srv"),
        (0o775, EVE, EVE, False, "others of group 1001 may write to /srv"),
    ],
)
def test_who_may_write_to_a_folder(
    mode: int, uid: int, gid: int, *, chosen: bool, why: str
) -> None:
    owner = uid if chosen else ROOT
    assert reason_for("/srv", found(mode, uid, gid), ME, MINE, owner) == why


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert reason_for_distrust(tmp_path / "gone", current=True).endswith(
        "cannot be checked: No such file or directory"
    )


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A folder for everybody, as /tmp is, in which somebody has left a project."""
    folder = tmp_path / "public"
    folder.mkdir()
    folder.chmod(0o1777)
    (folder / "poolq.toml").write_text('name = "of-somebody"\n')
    (folder / ".env").write_text("POOLQ_ENGINE=redis://of.somebody\n")
    (folder / "jobs.py").write_text("raise SystemExit('the code of somebody')\n")
    return folder


def test_a_project_in_a_public_folder_is_skipped_and_said(public: Path) -> None:
    mine = public / "mine"
    mine.mkdir()
    said: list[str] = []
    read = config.load({}, {}, mine, said.append)
    assert (read.folder, read.name, read.engine) == (mine, "mine", f"sqlite:///{mine}/poolq.db")
    assert said == [f"{public}/poolq.toml is not read: everybody may write to {public}"]
    (public.parent / "pyproject.toml").write_text('[tool.poolq]\nname = "above"\n')
    assert config.load({}, {}, public, said.append).name == "above", "one above it counts"
    assert said[1:] == said[:1]


def test_a_script_in_a_public_folder_leads_to_no_settings(public: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "poolq.toml").write_text('name = "mine"\n')
    said: list[str] = []
    read = config.load({}, {}, mine, said.append, script=public)
    assert (read.folder, read.name) == (mine, "mine")
    assert said == [f"{public}/poolq.toml is not read: everybody may write to {public}"]
    again = config.load({}, {}, public, said.append, script=public)
    assert (again.folder, again.name, len(said)) == (public, public.name, 2)


def test_no_code_is_loaded_from_a_public_folder(public: Path) -> None:
    assert load_app(public)["error"] == (
        f"module 'jobs' in {public} is not loaded: everybody may write to {public}"
    )
    assert AppError.exit_code == 3


@pytest.mark.parametrize(
    "written",
    [
        "jobs", "jobs/__init__.py", "jobs/mails.py", "jobs/deep", "jobs/deep/more.py", "helper.py",
        "jobs/__pycache__", "plain",
    ],
)  # fmt: skip
def test_no_code_is_loaded_that_everybody_may_write_to(tmp_path: Path, written: str) -> None:
    """In a folder that is trusted."""
    for name in ("jobs/__init__.py", "jobs/mails.py", "jobs/deep/more.py", "plain/of.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("import helper, plain.of\n")
    for name in ("jobs/deep/__init__.py", "helper.py", "plain/of.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "jobs/__pycache__").mkdir()
    assert "error" not in load_app(tmp_path)
    place = tmp_path / written
    place.chmod(0o777)
    assert load_app(tmp_path)["error"].endswith(f"is not loaded: everybody may write to {place}")


def test_what_is_installed_below_the_folder_is_left_to_who_installed_it(tmp_path: Path) -> None:
    installed = tmp_path / ".venv/lib/site-packages"
    installed.mkdir(parents=True)
    (installed / "bought.py").touch()
    (installed / "bought.py").chmod(0o666)
    (tmp_path / "jobs.py").write_text(
        f"import sys; sys.path.append({str(installed)!r})\nimport bought"
    )
    assert "error" not in load_app(tmp_path)


@pytest.mark.parametrize("name", ["poolq.toml", "pyproject.toml", ".env"])
def test_no_settings_are_read_from_a_file_that_everybody_may_write_to(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "poolq.toml").write_text('name = "mine"\n')
    (tmp_path / name).write_text("" if name == ".env" else 'name = "mine"\n')
    (tmp_path / name).chmod(0o666)
    said: list[str] = []
    read = config.load({}, {}, tmp_path, said.append)
    assert read.name == tmp_path.name
    assert said == [f"{tmp_path}/poolq.toml is not read: everybody may write to {tmp_path / name}"]


def test_the_owner_of_a_chosen_folder_may_own_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "poolq.toml").write_text('name = "theirs"\n')
    another = tmp_path.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    assert config.load({}, {}, tmp_path, pytest.fail).name == "theirs"
