"""Run the `poolq` command: in a process of its own, as a person does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.forked import Forked, Main, path_of, run_poolq
from tests.support.wait import patience

ROOT = Path(__file__).parents[2]
TIMEOUT = 30.0  # seconds that a command may take on an idle machine


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
    """This process's environment without settings of poolq but a pool's name, which is the folder's
    otherwise, and with poolq importable."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("POOLQ_")}
    found.pop("DATABASE_URL", None)
    return {**found, "PYTHONPATH": str(ROOT), "POOLQ_NAME": "default", **more}


class Command:
    """`poolq` in a folder, with these settings in its environment; pools that it finds are there,
    too, unless a RUNTIME_DIRECTORY says otherwise.

    A process that has loaded poolq's commands is forked, which takes a tenth of the time that a new
    interpreter takes. `NewCommand` starts one.
    """

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.env = env

    def __call__(self, *args: str, stdin: str = "", **env: str) -> Done:
        """Run it to its end, not on a terminal."""
        settings = {"RUNTIME_DIRECTORY": str(self.folder), **self.env, **env}
        done = self.run(args, environment(**settings), stdin)
        assert "Traceback" not in done.err, done.err
        return done

    def run(self, args: tuple[str, ...], env: dict[str, str], stdin: str) -> Done:
        return run_forked(args, self.folder, env, stdin)


class NewCommand(Command):
    """The same in a new interpreter, as a shell starts it; its process does `first` before that."""

    def __init__(self, folder: Path, first: Callable[[], object] | None = None, **env: str) -> None:
        super().__init__(folder, **env)
        self._first = first

    def run(self, args: tuple[str, ...], env: dict[str, str], stdin: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "poolq", *args],
            cwd=self.folder, env=env, input=stdin, capture_output=True, text=True,
            timeout=patience(TIMEOUT), check=False, preexec_fn=self._first,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)


def run_forked(
    args: Sequence[str], folder: Path, env: dict[str, str], stdin: str, main: Main = run_poolq
) -> Done:
    """Run `main` in a process that is forked from one that has loaded poolq."""
    with ExitStack() as stack:
        streams = [
            stack.enter_context(os.fdopen(os.memfd_create(name), "w+", encoding="utf-8"))
            for name in ("stdin", "stdout", "stderr")
        ]
        streams[0].write(stdin)
        streams[0].flush()
        paths = [path_of(one.fileno()) for one in streams]
        process = Forked(args, folder, env, paths, main=main)
        code = process.wait(patience(TIMEOUT))
        if code is None:
            process.kill()
            raise AssertionError(f"{' '.join(args)} did not end within {TIMEOUT} s")
        return Done(code, streams[1].read(), streams[2].read())
