"""What `make build` makes: the sdist, and the wheel as it is in a fresh environment."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import ROOT
from tests.support.fresh import Environments, run

pytestmark = pytest.mark.together

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]

#: What `pip install poolq` installs beside it. What else an integration needs is an extra.
NEEDS = [
    "click", "cronsim", "msgspec", "psutil", "pymysql", "python-dotenv", "redis", "rich",
    "setproctitle",
]  # fmt: skip
IMPORTED = "import sys; before = {*sys.modules}; import poolq; print(*{*sys.modules} - before)"
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


@pytest.fixture
def dist(environments: Environments) -> Path:
    return environments.dist


@pytest.fixture(scope="module")
def fresh(environments: Environments) -> Path:
    """The bin folder of an environment into which pip has installed the wheel."""
    folder = environments.bin()
    run(sys.executable, "-m", "pip", "--python", folder / "python", "check", cwd=folder)
    return folder


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
    assert sorted(re.split(r"[^\w-]", one)[0] for one in always) == NEEDS
    assert set(told["provides_extra"]) == set(PROJECT["optional-dependencies"])


def test_importing_it_imports_nothing_else(fresh: Path) -> None:
    assert run(fresh / "python", "-c", IMPORTED, cwd=fresh).split() == ["poolq"]


def test_the_console_script_runs(fresh: Path, installed: dict[str, Any]) -> None:
    (plugin,) = PROJECT["entry-points"]["pytest11"].items()
    assert sorted(installed["scripts"]) == sorted(
        [["poolq", PROJECT["scripts"]["poolq"]], [*plugin]]
    )
    assert run(fresh / "poolq", "--version", cwd=fresh).split()[-1] == VERSION
    attribute = "import poolq; print(poolq.__version__)"
    assert run(fresh / "python", "-c", attribute, cwd=fresh).split() == [VERSION]


def test_the_sdist_has_what_builds_and_tests_it(dist: Path) -> None:
    with tarfile.open(dist / f"poolq-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"poolq/{name}" for name in sources()} <= names
    assert {"pyproject.toml", "PKG-INFO", "LICENSE", "README.md", "Makefile"} <= names
    assert {"tests", "benchmarks", "docs", "contrib"} <= {name.partition("/")[0] for name in names}
