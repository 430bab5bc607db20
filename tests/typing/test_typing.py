"""The samples beside this file, as mypy and pyright see them in a user's editor."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SAMPLES = GOOD, PLAIN, BAD = HERE / "good.py", HERE / "plain.py", HERE / "bad.py"
EXAMPLES = ("flask", "fastapi")

Lines = dict[int, str]

pytestmark = pytest.mark.together


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy keeps of the modules that it has checked strictly: poolq and its packages, which
    take longer than the samples."""
    return tmp_path_factory.mktemp("strict")


def mypy(sample: Path, cache: Path, *options: str) -> Lines:
    """The lines with an error, and what mypy says of them."""
    command = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={cache}"]
    output = run([*command, "--no-error-summary", *options, str(sample.relative_to(ROOT))])
    found = re.findall(r"^([^:]+):(\d+): error: (.*)$", output, re.MULTILINE)
    assert {name for name, _, _ in found} <= {str(sample.relative_to(ROOT))}, output
    assert found or not output.strip(), output
    return {int(line): text for _, line, text in found}


@pytest.fixture(scope="module")
def pyright(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lines]:
    """The lines with an error, and what pyright says of them, by the path of the sample or of the
    example's file: it checks all of them in one go, as it reads poolq again in each."""
    folder = tmp_path_factory.mktemp("pyright")
    for sample in SAMPLES:
        shutil.copy(sample, folder)
    for name in EXAMPLES:
        shutil.copytree(ROOT / "examples" / name, folder / name)
    checked = [str(one.relative_to(folder)) for one in folder.rglob("*.py")]
    settings = {
        "include": checked,
        "strict": [GOOD.name, *EXAMPLES],
        "extraPaths": [str(ROOT)],
        "executionEnvironments": [{"root": name} for name in (*EXAMPLES, ".")],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    report = json.loads(run([*command, "--project", str(folder)]))
    assert report["summary"]["filesAnalyzed"] == len(checked)
    found: dict[str, Lines] = {name: {} for name in checked}
    for entry in report["generalDiagnostics"]:
        if entry["severity"] == "error":
            line = entry["range"]["start"]["line"] + 1
            found[str(Path(entry["file"]).relative_to(folder))][line] = entry["message"]
    return found


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def marked(sample: Path) -> set[int]:
    lines = sample.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


@pytest.mark.timeout(180)
def test_mypy(tmp_path: Path, strict: Path) -> None:
    assert mypy(GOOD, strict, "--strict") == {}
    assert mypy(PLAIN, tmp_path, "--check-untyped-defs") == {}
    assert set(mypy(BAD, strict, "--strict")) == marked(BAD)


@pytest.mark.timeout(180)
def test_pyright(pyright: dict[str, Lines]) -> None:
    assert pyright[GOOD.name] == pyright[PLAIN.name] == {}
    assert set(pyright[BAD.name]) == marked(BAD)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples(tmp_path: Path, strict: Path, pyright: dict[str, Lines], name: str) -> None:
    folder = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, folder)
    files = [file.name for file in folder.glob("*.py")]
    checked = ["-m", "mypy", "--strict", "--config-file=", f"--cache-dir={strict}", *files]
    env = {**os.environ, "MYPYPATH": str(ROOT)}
    command = [sys.executable, *checked]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {file: pyright[f"{name}/{file}"] for file in files} == {file: {} for file in files}
