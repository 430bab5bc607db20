"""The samples beside this file, as mypy and pyright see them in a user's editor."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GOOD, PLAIN, BAD = HERE / "good.py", HERE / "plain.py", HERE / "bad.py"

Lines = dict[int, str]


def mypy(sample: Path, cache: Path, *options: str) -> Lines:
    """The lines with an error, and what mypy says of them."""
    command = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={cache}"]
    output = run([*command, "--no-error-summary", *options, str(sample.relative_to(ROOT))])
    found = re.findall(r"^([^:]+):(\d+): error: (.*)$", output, re.MULTILINE)
    assert {name for name, _, _ in found} <= {str(sample.relative_to(ROOT))}, output
    assert found or not output.strip(), output
    return {int(line): text for _, line, text in found}


def pyright(sample: Path, folder: Path, mode: str) -> Lines:
    """The lines with an error, and what pyright says of them."""
    project = folder / mode
    project.mkdir(exist_ok=True)
    shutil.copy(sample, project)
    settings = {"include": [sample.name], "typeCheckingMode": mode, "extraPaths": [str(ROOT)]}
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    report = json.loads(run([*command, "--project", str(project)]))
    assert report["summary"]["filesAnalyzed"] == 1
    return {
        entry["range"]["start"]["line"] + 1: entry["message"]
        for entry in report["generalDiagnostics"]
        if entry["severity"] == "error"
    }


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def marked(sample: Path) -> set[int]:
    lines = sample.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


@pytest.mark.timeout(180)
def test_mypy(tmp_path: Path) -> None:
    assert mypy(GOOD, tmp_path, "--strict") == {}
    assert mypy(PLAIN, tmp_path, "--check-untyped-defs") == {}
    assert set(mypy(BAD, tmp_path, "--strict")) == marked(BAD)


@pytest.mark.timeout(180)
def test_pyright(tmp_path: Path) -> None:
    assert pyright(GOOD, tmp_path, "strict") == {}
    assert pyright(PLAIN, tmp_path, "standard") == {}
    assert set(pyright(BAD, tmp_path, "standard")) == marked(BAD)
