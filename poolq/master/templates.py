"""The master's side of the templates: started, asked, listened to, replaced by their copies.

What a template does is `template/template.py`'s business, when one is wanted `policy.py`'s.
"""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic
from typing import Protocol

from poolq.master import transitions
from poolq.master.state import Pool, TemplateProcess, WorkerState
from poolq.system.fork import execute
from poolq.template import protocol, template
from poolq.template.protocol import (
    CodeAnswer,
    Forked,
    ForkFailed,
    ForkWorker,
    Loaded,
    LoadFailed,
    NotPreloaded,
    TemplateSetup,
    encode,
)

#: What a template process runs. By `-c`, so that a job that starts processes of its own finds no
#: main module that it would import once more.
TEMPLATE_PROGRAM = f"from {template.__name__} import {template.main.__name__}; main()"
SPARE_INTERVAL = 0.5  # seconds between two copies: each may die at once
Log = Callable[[str, str], None]


class Forker(Protocol):
    """Who forks for us and takes what the templates fork."""

    def fork_template(self, main: Callable[[], int], what: str) -> int:
        """The child's pid; 0 where the system has no room now."""

    def setup(self, generation: int, line: int) -> tuple[TemplateSetup, tuple[int, ...]]:
        """What a template is told, and the descriptors that it needs for it."""

    def forked(self, seq: int, pid: int) -> None:
        """A template has forked a worker (seq 0: its own copy)."""

    def fork_failed(self, seq: int) -> None:
        """A worker that was asked for will not come."""


class Templates:
    """A line to each template, by generation, and one to its copy."""

    def __init__(self, pool: Pool, forker: Forker, log: Log) -> None:
        self._pool = pool
        self._forker = forker
        self._log = log
        self._lines: dict[int, socket.socket] = {}
        self._spares: dict[int, socket.socket] = {}
        self._spared_at: dict[int, float] = {}
        self._load_errors: dict[int, LoadFailed] = {}

    def fds(self) -> list[int]:
        """To wait on: a template has said something."""
        return [line.fileno() for line in self._lines.values()]

    def private(self) -> list[int]:
        """What no child may keep."""
        return self.fds() + [line.fileno() for line in self._spares.values()]

    def start(self, generation: int) -> None:
        """A fresh interpreter, so that it loads the code as it is now."""
        ours, theirs = protocol.pair()
        setup, kept = self._forker.setup(generation, theirs.fileno())
        buffer = os.memfd_create("poolq-template", os.MFD_CLOEXEC)
        os.write(buffer, encode(setup))
        os.lseek(buffer, 0, os.SEEK_SET)
        argv = [sys.executable, "-c", TEMPLATE_PROGRAM, str(buffer)]
        main = partial(execute, argv, (*kept, theirs.fileno(), buffer))
        pid = self._forker.fork_template(main, f"template g{generation}")
        theirs.close()
        os.close(buffer)
        if not pid:
            ours.close()
            if self._pool.trial is not None:
                self._pool.trial.not_before = monotonic() + 1.0
            return
        ours.setblocking(False)
        self._lines[generation] = ours
        self._pool.templates[generation] = TemplateProcess(generation, pid, monotonic())

    def spawn(self, generation: int, seq: int, row: int, slot: int) -> bool:
        """Ask for a worker; False when the template does not listen now."""
        first = self._pool.on_trial(generation)
        return protocol.send(self._lines[generation], ForkWorker(seq, row, slot, first))

    def ask(self, generation: int, seq: int) -> None:
        """Ask whether the code has changed; the answer comes by itself."""
        if generation in self._lines:
            protocol.send(self._lines[generation], protocol.CodeQuery(seq))

    def stop(self, pid: int) -> None:
        """If this is a template, end its line: what it has imported may have made it deaf to
        TERM."""
        for generation, line in self._lines.items():
            if self._pool.templates[generation].pid == pid:
                with suppress(OSError):  # it is dead
                    line.shutdown(socket.SHUT_WR)

    def hear(self) -> None:
        """Take what the templates have said, and have those copied that have no copy."""
        for generation in list(self._lines):
            while (line := self._lines.get(generation)) is not None:
                try:
                    message, _ = protocol.receive(line)
                except BlockingIOError:
                    break
                if message is None:
                    break  # it is dead, and will be reaped
                self._heard(generation, message)
            self._copy(generation)

    def _copy(self, generation: int) -> None:
        template = self._pool.templates.get(generation)
        if template is None or not template.ready or template.stop_sent or template.spare:
            return
        if monotonic() - self._spared_at.get(generation, -inf) >= SPARE_INTERVAL:
            self._give_spare(template)

    def _heard(self, generation: int, message: protocol.Message) -> None:
        template = self._pool.templates.get(generation)
        if isinstance(message, Forked):
            if template is not None and not message.seq:
                template.spare = message.pid
            self._forker.forked(message.seq, message.pid)
        elif isinstance(message, ForkFailed):
            self._log("error", f"template g{generation} cannot fork: {message.why}; trying again")
            self._forker.fork_failed(message.seq)
        elif isinstance(message, Loaded) and template is not None:
            template.ready = True
        elif isinstance(message, NotPreloaded):
            self._pool.not_preloaded.add(generation)
            why = f"{message.why}: nothing is preloaded, each worker imports for itself"
            self._log("warning", f"template g{generation}: {why}")
        elif isinstance(message, LoadFailed):
            self._load_errors[generation] = message
        elif isinstance(message, CodeAnswer):
            transitions.code_checked(self._pool, message.seq, changed=message.changed)

    def _give_spare(self, template: TemplateProcess) -> None:
        ours, theirs = protocol.pair()
        ours.setblocking(False)
        if protocol.send(self._lines[template.generation], protocol.ForkSpare(), theirs.fileno()):
            old = self._spares.pop(template.generation, None)
            if old is not None:
                old.close()
            self._spares[template.generation] = ours
            self._spared_at[template.generation] = monotonic()
        else:
            ours.close()
        theirs.close()

    def gone(self, pid: int, code: int) -> None:
        """A template or a copy was reaped; `code` -1: by a signal."""
        self.hear()  # its last load_error
        now = monotonic()
        template = next(t for t in self._pool.templates.values() if pid in (t.pid, t.spare))
        generation, was_spare = template.generation, pid == template.spare
        load_error, trial = self._load_errors.pop(generation, None), self._pool.trial
        if not (
            load_error or template.stop_sent or was_spare or generation in self._pool.not_preloaded
        ):
            self._log("warning", f"template g{generation} (pid {pid}) died")
        woken = transitions.template_exited(
            self._pool, pid, code, load_error.why if load_error else "", now
        )
        if was_spare:
            return  # another follows when it is heard next
        if trial is not None and self._pool.trial is not trial and self._pool.generation:
            log_refusal(self._pool, self._log, generation, load_error)
        elif load_error is not None:
            self._log("error", load_error.why)
        self._lines.pop(generation).close()
        spare = self._spares.pop(generation, None)
        for proc in self._pool.procs():
            if proc.state is WorkerState.FORKING and proc.generation == generation:
                self._forker.fork_failed(proc.seq)
        if woken is not None and spare is not None:
            self._lines[generation] = spare
            self._log("info", f"template g{generation}: its copy (pid {woken.pid}) takes over")
        elif spare is not None:
            spare.close()


def log_refusal(
    pool: Pool, log: Callable[[str, str], None], generation: int, load_error: LoadFailed | None
) -> None:
    """A generation was refused: in the log, with the traceback, which `poolq status` shows too."""
    text = f"generation {generation} is refused, the old workers go on"
    pool.traceback = load_error.trace if load_error else ""
    trace = f"\n{pool.traceback}" if pool.traceback else ""
    log("error", f"{text}: {pool.refusal}{trace}")
