"""The jobs.py of most projects in tests/process: copied there, so they are jobs:Quick and so on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from poolq import Job
from tests.support.ledger import FOLDER, Ledger, gate, note


class Quick(Job):
    """Over at once."""

    def run(self) -> None:
        note("start", self.id)
        note("end", self.id)


class Brief(Job):
    """Takes 40 ms."""

    def run(self) -> None:
        note("start", self.id)
        time.sleep(0.04)


class Quits(Job):
    """Ends its worker, and hardly as an operator would."""

    def run(self) -> None:
        note("start", self.id)
        os.kill(os.getpid(), signal.SIGQUIT)


class Held(Job):
    """Runs until its gate is opened."""

    def run(self) -> None:
        note("start", self.id)
        gate(self.payload.get("gate", "open"))
        note("end", self.id)


class Fails(Job):
    """Raises, each time."""

    def run(self) -> None:
        note("start", self.id)
        raise ValueError(self.payload.get("text", "no luck"))

    def on_success(self) -> None:
        note("success", self.id)

    def on_failure(self) -> None:
        note(f"failure:{type(self.error).__name__}", self.id)


class Dies(Job):
    """Ends its worker: by a `signal`, or by an exit `code`."""

    def run(self) -> None:
        note("start", self.id)
        print("last words")
        if "signal" in self.payload:
            os.kill(os.getpid(), self.payload["signal"])
            signal.pause()
        os._exit(self.payload["code"])

    def on_failure(self) -> None:
        note(f"failure:{type(self.error).__name__}", self.id)


class DiesInHook(Job):
    """Fails; its hook ends the worker as often as `deaths` says."""

    def run(self) -> None:
        note("start", self.id)
        raise ValueError("no luck")

    def on_failure(self) -> None:
        note("hook", self.id)
        died = self.payload["deaths"]
        if len(Ledger(Path(os.environ[FOLDER])).lines("hook", self.id)) <= died:
            os.kill(os.getpid(), signal.SIGKILL)
        note("hooked", self.id)


class Parent(Job):
    """Has a subprocess for as long as its gate is closed."""

    def run(self) -> None:
        child = subprocess.Popen(["sleep", "600"])
        note("start", self.id)
        note("child", str(child.pid))
        gate(self.payload.get("gate", "open"))
        if "code" in self.payload:
            os._exit(self.payload["code"])
        note("end", self.id)
