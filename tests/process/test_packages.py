"""What `make build` makes: the sdist, and the wheel as it is in a fresh environment.

Nothing is downloaded. The fresh environment sees this one's packages, except for poolq: a `.pth`
file names their folder, and Python follows no `.pth` file (as poolq's editable one) in there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import ROOT

pytestmark = pytest.mark.together

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]

INSPECT = """
import json, pathlib, poolq
from importlib import metadata
folder = pathlib.Path(poolq.__file__).parent
found = metadata.distribution("poolq")
print(json.dumps({
    "folder": str(folder),
    "files": [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()],
    "metadata": found.metadata.json,
    "scripts": [[one.name, one.value] for one in found.entry_points],
}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both; the wheel is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def fresh(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment into which pip has installed the wheel."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = dist.glob("*.whl")
    options = ["--no-index", "--no-deps", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    run(*pip, "install", "--ignore-installed", *options, wheel, cwd=folder)
    run(*pip, "check", cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def installed(fresh: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(fresh / "python", "-c", INSPECT, cwd=fresh))
    assert Path(found["folder"]).is_relative_to(fresh.parent)
    return found


def sources() -> set[str]:
    """The files of the package in this checkout."""
    folder = ROOT / "poolq"
    files = {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}
    return {str(file) for file in files if "__pycache__" not in file.parts}


def test_the_wheel_has_each_file_of_the_package(installed: dict[str, Any]) -> None:
    files = {name for name in installed["files"] if "__pycache__" not in name}
    assert files == sources()
    assert "py.typed" in files
    assert {".lua", ".sql"} <= {Path(name).suffix for name in files}


def test_the_metadata_is_the_projects(installed: dict[str, Any]) -> None:
    told = installed["metadata"]
    assert (told["name"], told["version"]) == ("poolq", VERSION)
    assert told["summary"] == PROJECT["description"]
    assert told["requires_python"] == PROJECT["requires-python"]
    assert told["license_expression"] == PROJECT["license"]
    assert "LICENSE" in told["license_file"]
    assert told["classifier"] == PROJECT["classifiers"]
    assert told["description"] == (ROOT / "README.md").read_text("utf-8")
    always = [one for one in told["requires_dist"] if "extra ==" not in one]
    assert len(always) == len(PROJECT["dependencies"])
    assert set(told["provides_extra"]) == set(PROJECT["optional-dependencies"])


def test_the_console_script_runs(fresh: Path, installed: dict[str, Any]) -> None:
    assert installed["scripts"] == [["poolq", PROJECT["scripts"]["poolq"]]]
    assert run(fresh / "poolq", "--version", cwd=fresh).split()[-1] == VERSION


def test_the_sdist_has_what_builds_and_tests_it(dist: Path) -> None:
    with tarfile.open(dist / f"poolq-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"poolq/{name}" for name in sources()} <= names
    assert {"pyproject.toml", "PKG-INFO", "LICENSE", "README.md", "Makefile"} <= names
    assert {"tests", "benchmarks", "docs", "contrib"} <= {name.partition("/")[0] for name in names}
