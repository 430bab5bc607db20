"""Environments of users: the wheel, as it is built from this checkout, and nothing else of it.

Nothing is downloaded. The new environment sees the packages of the one that it is made for, except
for poolq: a `.pth` file names their folder, and Python follows no `.pth` file (as poolq's editable
one) in there.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.cli import ROOT
from tests.support.server import bound_to_us
from tests.support.wait import patience

#: With what a user of Debian's Python has, beside this one's. `make test` makes both.
PYTHON = Path(sys.executable)
PYTHON313 = ROOT / ".venv313" / "bin" / "python"
TIMEOUT = 60.0  # seconds that a command may take on an idle machine
#: Of other packages, which pip would have installed.
SCRIPTS = ("flask", "uvicorn")


def finished(
    *command: str | Path, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. If it hangs, it is killed, and the error has what it has said."""
    try:
        return subprocess.run(
            bound_to_us([str(one) for one in command]),
            cwd=cwd,
            env=env or {},
            capture_output=True,
            text=True,
            check=False,
            timeout=patience(TIMEOUT),
        )
    except subprocess.TimeoutExpired as hung:
        said = [(one or b"").decode() for one in (hung.stdout, hung.stderr)]
        raise AssertionError(f"{command} has not ended:\n{''.join(said)}") from None


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = finished(*command, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Environments:
    """Those of one run of the tests, in a folder that its processes share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def dist(self) -> Path:
        """The folder of sdist and wheel; the wheel is built from the sdist."""
        return self._once("dist", _build)

    def bin(self, python: Path = PYTHON) -> Path:
        """The bin folder of an environment with the wheel, for this Python and its packages."""
        name, dist = python.parents[1].name.strip("."), self.dist
        return self._once(name, lambda folder: _install(dist, folder, python)) / "bin"

    def django(self, python: Path) -> Path:
        """The project that the Django of this Python makes, to be copied."""
        there = self.bin(python) / "python"
        return self._once(f"django-{there.parents[1].name}", lambda folder: _start(there, folder))

    def _once(self, name: str, make: Callable[[Path], None]) -> Path:
        folder, made = self._folder / name, self._folder / f"{name}.made"
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one that has failed
                make(folder)
                made.touch()
        return folder


def _build(folder: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)


def _start(python: Path, folder: Path) -> None:
    folder.mkdir()
    run(python, "-m", "django", "startproject", "shop", folder, cwd=folder)


def _install(dist: Path, folder: Path, python: Path) -> None:
    run(python, "-m", "venv", "--without-pip", folder, cwd=ROOT)
    there = folder / "bin" / "python"
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(there, "-c", purelib, cwd=folder).strip())
    (site / "others.pth").write_text(run(python, "-c", purelib, cwd=folder))
    (wheel,) = dist.glob("*.whl")
    options = ["--no-index", "--no-deps", "--disable-pip-version-check", "--ignore-installed"]
    pip = [sys.executable, "-m", "pip", "--python", there]
    run(*pip, "install", *options, wheel, cwd=folder)
    for name in SCRIPTS:
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {there} -m {name} "$@"\n')
        script.chmod(0o755)
