"""Run the `poolq` command: in a process of its own, as a person does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of stdout, which must be one JSON document."""
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """All of stderr, which must be one line of poolq's."""
        assert self.err.startswith("poolq: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("poolq: ").rstrip()


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of poolq, and with poolq importable."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("POOLQ_")}
    found.pop("DATABASE_URL", None)
    return {**found, "PYTHONPATH": str(ROOT), **more}


class Command:
    """`poolq` in a folder, with these settings in its environment; pools that it finds are there,
    too, unless a RUNTIME_DIRECTORY says otherwise."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.env = env

    def __call__(self, *args: str, stdin: str = "", **env: str) -> Done:
        """Run it to its end, not on a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "poolq", *args],
            cwd=self.folder,
            env=environment(**{"RUNTIME_DIRECTORY": str(self.folder), **self.env, **env}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)
