"""Each contender's own virtual environment, made by the run in .venvs-bench/ and kept for the next.

A contender without packages of its own runs where poolq is installed: poolq itself and the bare
loops. What is installed is pinned in the catalogue; a change there makes the environment anew.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venvs-bench"
INSTALLED = """
from importlib.metadata import distributions
for one in distributions():
    print(f"{one.name}=={one.version}")
"""


class CannotInstall(Exception):
    """A contender whose packages cannot be had here; the table tells why."""


def python(name: str, packages: tuple[str, ...], interpreter: str = "") -> Path:
    """The environment's Python, made where it is missing. Raises CannotInstall."""
    if not packages:
        return Path(sys.executable)
    folder = FOLDER / name
    base = interpreter or str(Path(sys.base_prefix) / "bin" / Path(sys.executable).name)
    stamp, wanted = folder / "packages", "\n".join((base, *packages))
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        if shutil.which(base) is None:
            raise CannotInstall(f"{base} is not installed")
        _run([base, "-m", "venv", str(folder)])
        _run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *packages])
        stamp.write_text(wanted)
    return folder / "bin/python"


def versions(interpreter: Path) -> dict[str, str]:
    """What is installed there, by name in small letters."""
    done = subprocess.run(
        [interpreter, "-c", INSTALLED], capture_output=True, text=True, check=True
    )
    pairs = (line.partition("==") for line in done.stdout.splitlines())
    return {name.lower(): version for name, _, version in pairs}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise CannotInstall(said[-1] if said else f"{command[0]} ended with {done.returncode}")
