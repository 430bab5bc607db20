"""The master's side of the templates: starts them, sends them requests, and replaces a dead
template by its copy.

`template/template.py` is the template itself; `policy.py` decides when one is needed.
"""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from poolq.master import canary, state_updates
from poolq.master.state import Pool, TemplateProcess, WorkerState
from poolq.system.fork import execute
from poolq.template import protocol, template

if TYPE_CHECKING:
    from poolq.master.children import Children

#: What a template process runs, by `python -c`. If the process had a main module, multiprocessing
#: would import that module again in each process that a job starts. With -P, Python does not
#: search the current folder for modules.
TEMPLATE_PROGRAM = f"from {template.__name__} import {template.main.__name__}; main()"
SPARE_INTERVAL = 0.5  # seconds between two forks of a copy, since a copy may die at once
START_RETRY_DELAY = 1.0  # seconds


@dataclass(eq=False)
class Templates:
    """Holds a socket to each template, by generation, and one to its copy. `children` forks
    templates, and records what they fork."""

    pool: Pool
    children: "Children"
    log: Callable[[str, str], None]
    _lines: dict[int, socket.socket] = field(default_factory=dict)
    _spares: dict[int, socket.socket] = field(default_factory=dict)
    _spared_at: dict[int, float] = field(default_factory=dict)
    _load_errors: dict[int, protocol.LoadFailed] = field(default_factory=dict)

    def fds(self) -> list[int]:
        """Descriptors that are readable when a template has sent something."""
        return [line.fileno() for line in self._lines.values()]

    def descriptors(self) -> list[int]:
        """The descriptors that every child must close."""
        return self.fds() + [line.fileno() for line in self._spares.values()]

    def start(self, generation: int) -> None:
        """Start a fresh interpreter, which loads the code as it is now."""
        own_end, template_end = protocol.pair()
        setup, inherited = self.children.template_setup(generation, template_end.fileno())
        file = os.memfd_create("poolq-template", os.MFD_CLOEXEC)
        os.write(file, protocol.encode(setup))
        os.lseek(file, 0, os.SEEK_SET)
        argv = [sys.executable, "-P", "-c", TEMPLATE_PROGRAM, str(file)]
        main = partial(execute, argv, (*inherited, template_end.fileno(), file))
        pid = self.children.fork_template(main, f"template g{generation}")
        template_end.close()
        os.close(file)
        if not pid:
            own_end.close()
            if self.pool.trial is not None:
                self.pool.trial.not_before = monotonic() + START_RETRY_DELAY
            return
        own_end.setblocking(False)
        self._lines[generation] = own_end
        self.pool.templates[generation] = TemplateProcess(generation, pid, monotonic())

    def fork_worker(self, generation: int, request: protocol.ForkWorker) -> bool:
        """Ask a template to fork a worker. Returns False if the request could not be sent."""
        return protocol.send(self._lines[generation], request)

    def stop(self, pid: int) -> None:
        """If `pid` is a template, close its socket so that it exits even if it ignores TERM."""
        for generation, line in self._lines.items():
            if self.pool.templates[generation].pid == pid:
                with suppress(OSError):  # it is dead
                    line.shutdown(socket.SHUT_WR)

    def receive(self) -> None:
        """Handle what the templates have sent, and ask each one without a copy to fork a copy."""
        for generation in list(self._lines):
            while (line := self._lines.get(generation)) is not None:
                try:
                    message, _ = protocol.receive(line)
                except BlockingIOError:
                    break
                if message is None:
                    break  # it is dead, and will be reaped
                self._handle(generation, message)
            self._ensure_spare(generation)

    def _handle(self, generation: int, message: protocol.Message) -> None:
        template = self.pool.templates.get(generation)
        if isinstance(message, protocol.Forked):
            if template is not None and not message.seq:
                template.spare = message.pid
            self.children.forked(message.seq, message.pid)
        elif isinstance(message, protocol.ForkFailed):
            self.log("error", f"template g{generation} cannot fork: {message.why}; trying again")
            self.children.fork_failed(message.seq)
        elif isinstance(message, protocol.Loaded) and template is not None:
            template.ready = True
        elif isinstance(message, protocol.NotPreloaded):
            self.pool.not_preloaded.add(generation)
            why = f"{message.why}, so nothing is preloaded and each worker imports for itself"
            self.log("warning", f"template g{generation}: {why}")
        elif isinstance(message, protocol.LoadFailed):
            self._load_errors[generation] = message
        elif isinstance(message, protocol.CodeChanged):
            self.children.fork_failed(message.seq)
            why = f"files changed: {message.files}"
            if canary.reload(self.pool, why):
                self.log("info", f"{why}: trying generation {self.pool.last_generation}")

    def _ensure_spare(self, generation: int) -> None:
        template = self.pool.templates.get(generation)
        if template is None or not template.ready or template.stop_sent or template.spare:
            return
        if monotonic() - self._spared_at.get(generation, -inf) < SPARE_INTERVAL:
            return
        own_end, copy_end = protocol.pair()
        own_end.setblocking(False)
        if protocol.send(self._lines[generation], protocol.ForkSpare(), copy_end.fileno()):
            old = self._spares.pop(generation, None)
            if old is not None:
                old.close()
            self._spares[generation] = own_end
            self._spared_at[generation] = monotonic()
        else:
            own_end.close()
        copy_end.close()

    def exited(self, pid: int, code: int) -> None:
        """Handle the exit of a template or of a copy. `code` is -1 if it died by a signal."""
        self.receive()  # its last messages
        now, pool = monotonic(), self.pool
        template = next(t for t in pool.templates.values() if pid in (t.pid, t.spare))
        generation, was_spare = template.generation, pid == template.spare
        load_error, trial = self._load_errors.pop(generation, None), pool.trial
        expected = load_error or template.stop_sent or generation in pool.not_preloaded
        if not (expected or was_spare):
            self.log("warning", f"template g{generation} (pid {pid}) died")
        why = load_error.why if load_error else ""
        woken = state_updates.template_exited(pool, pid, code, why, now)
        if was_spare:
            return  # receive() asks for another copy
        if trial is not None and pool.trial is not trial and pool.generation:
            log_refusal(pool, self.log, generation, load_error)
        elif load_error is not None:
            self.log("error", load_error.why)
        # If a stopped template exits before its copy, the socket is closed at the first exit.
        if (line := self._lines.pop(generation, None)) is not None:
            line.close()
        spare = self._spares.pop(generation, None)
        for proc in pool.procs():
            if proc.state is WorkerState.FORKING and proc.generation == generation:
                self.children.fork_failed(proc.seq)
        if woken is not None and spare is not None:
            self._lines[generation] = spare
            self.log("info", f"template g{generation}: its copy (pid {woken.pid}) takes over")
        elif spare is not None:
            spare.close()


def log_refusal(
    pool: Pool,
    log: Callable[[str, str], None],
    generation: int,
    load_error: protocol.LoadFailed | None,
) -> None:
    """Log that a generation was refused, with the traceback, which `poolq status` shows too."""
    text = f"generation {generation} is refused; the old workers keep running"
    pool.traceback = load_error.trace if load_error else ""
    trace = f"\n{pool.traceback}" if pool.traceback else ""
    log("error", f"{text}: {pool.refusal}{trace}")
