"""A project of Django, as `django-admin startproject` has made it once for the run, in an
environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from poolq.engines.base import Engine
from tests.contract.helpers import open_engine
from tests.support.fresh import Environments, finished, run
from tests.support.server import bound_to_us
from tests.support.wait import until

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
#: A process that hangs says where.
SETUP = """
import faulthandler
faulthandler.dump_traceback_later(60, exit=True)
import django, json; django.setup()
"""


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

    def python_code(self, code: str, **env: str) -> Any:
        """Run code in a process of the project; what it has printed as JSON."""
        done = run(self.python, "-c", SETUP + code, cwd=self.folder, env=self._environment(env))
        return json.loads(done) if done else None

    def checks(self, code: str, cases: list[str]) -> list[list[list[Any]]]:
        """What the code has printed of these cases."""
        env = self._environment({"CASES": json.dumps(cases)})
        found: list[list[list[Any]]] = json.loads(
            run(self.python, "-c", code, cwd=self.folder, env=env)
        )
        return found

    def manage(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [self.python, "manage.py", *args]
        return finished(*command, cwd=self.folder, env=self._environment(env))

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
