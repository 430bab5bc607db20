"""A project of Django, as `django-admin startproject` has made it once for the run, in an
environment of its own."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from poolq.engines.base import Engine
from tests.contract.helpers import open_engine
from tests.support.forked import path_of
from tests.support.fresh import TIMEOUT, Environments
from tests.support.server import bound_to_us
from tests.support.wait import patience, until

FORKS = Path(__file__).with_name("django_fork.py")

SETTINGS = """
INSTALLED_APPS += ["poolq.contrib.django", "store"]
TASKS = {"default": {"BACKEND": "poolq.contrib.django.PoolqBackend"}}
"""
#: What its tasks may use to write down what they did.
NOTES = """
import json, os

def note(*what):
    file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, json.dumps(what).encode() + b"\\n")
    os.close(file)
"""
SETUP = "import django, json; django.setup()\n"


class Forks:
    """`django_fork.py` in this Python. It dies with this process."""

    def __init__(self, python: Path) -> None:
        self._popen = subprocess.Popen(
            bound_to_us([str(python), "-c", FORKS.read_text()]),
            cwd=python.parent, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(
        self, args: list[str], code: str, folder: Path, env: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """As `finished`."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        with open_memory() as out, open_memory() as err:
            order = [code, args, str(folder), env, path_of(out.fileno()), path_of(err.fileno())]
            print(json.dumps(order), file=self._popen.stdin, flush=True)
            if not select.select([self._popen.stdout], [], [], patience(TIMEOUT))[0]:
                self._popen.kill()
                raise AssertionError(f"{args} has not ended:\n{out.read()}{err.read()}")
            ended = int(self._popen.stdout.readline())
            return subprocess.CompletedProcess(args, ended, out.read(), err.read())


def open_memory() -> TextIO:
    return os.fdopen(os.memfd_create("said"), "w+", encoding="utf-8")


@cache
def forks(python: Path) -> Forks:
    """One for all tests of this process."""
    return Forks(python)


class DjangoProject:
    """On Django's version for `base`. `settings` are added to those that Django makes."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        environments: Environments,
        base: Path,
        tasks: str,
        settings: str = "",
    ) -> None:
        self.folder = folder
        self.python = environments.bin(base) / "python"
        self.notes_file = folder / "notes"
        self._stack = stack
        shutil.copytree(environments.django(base), folder)
        with (folder / "shop" / "settings.py").open("a") as file:
            file.write(SETTINGS + settings)
        (folder / "store").mkdir()
        for name, text in (("__init__", ""), ("notes", NOTES), ("tasks", tasks)):
            (folder / "store" / f"{name}.py").write_text(text)

    def _environment(self, env: dict[str, str]) -> dict[str, str]:
        own = {"NOTES": str(self.notes_file), "RUNTIME_DIRECTORY": str(self.folder)}
        path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.folder)}
        return {**path, **own, "DJANGO_SETTINGS_MODULE": "shop.settings", **env}

    def python_code(self, code: str, setup: str = SETUP, **env: str) -> Any:
        """Run code in a process of the project; what it has printed as JSON."""
        done = self._run(["-c"], setup + code, env)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def manage(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self._run(["manage.py", *args], "", env)

    def _run(
        self, args: list[str], code: str, env: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return forks(self.python).run(args, code, self.folder, self._environment(env))

    def drain(self, *flags: str, **env: str) -> str:
        """Run a pool until its queues are empty; its log."""
        done = self.manage("poolq", "run", "--until-empty", "--no-dashboard", *flags, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pool(self, *flags: str, **env: str) -> subprocess.Popen[str]:
        """Start a pool, which ends with the test."""
        command = [self.python, "manage.py", "poolq", "run", "--no-dashboard", *flags]
        log = self._stack.enter_context((self.folder / "pool.log").open("w"))
        made = subprocess.Popen(
            bound_to_us([str(one) for one in command]),
            cwd=self.folder,
            env=self._environment(env),
            stdout=log,
            stderr=log,
            text=True,
        )
        self._stack.callback(self._end, made)
        return made

    def _end(self, pool: subprocess.Popen[str]) -> None:
        pool.terminate()
        until(lambda: pool.poll() is not None, 30, "the end of the pool")
        print((self.folder / "pool.log").read_text())

    @property
    def notes(self) -> list[list[Any]]:
        if not self.notes_file.exists():
            return []
        return [json.loads(line) for line in self.notes_file.read_text().splitlines()]

    @property
    def engine(self) -> Engine:
        """The SQLite file beside manage.py."""
        made = open_engine(f"sqlite:///{self.folder / 'poolq.db'}", "poolq")
        self._stack.callback(made.close)
        return made
