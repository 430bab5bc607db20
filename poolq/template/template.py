"""The template: a fresh interpreter that loads one generation of the application and forks its
workers, which share its memory until they write to it. It runs no job.

- It imports with the collector off and freezes the heap, so that no collection in a worker
  touches (and so copies) what they share.
- It is double-forked: a worker's parent is the master, which is the subreaper of the pool.
- A dormant copy of it, forked after the freeze, waits on a socket of its own. It takes over when
  the template is killed: the loaded generation must not be lost to a broken deploy on disk.
- It refuses to preload what cannot be forked safely: threads and connected sockets.

Which worker to fork when is `master/policy.py`'s business.
"""

import gc
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from setproctitle import setproctitle

from poolq.config import engine_class
from poolq.errors import AppError
from poolq.jobs import registry
from poolq.jobs.producer import dispatch_by
from poolq.log.events import Reporter
from poolq.log.pipes import Writers, adopt
from poolq.log.reporting import set_up
from poolq.scoreboard.board import Scoreboard
from poolq.system.fork import flush_streams, leave, signals_blocked
from poolq.system.host import die_with_parent
from poolq.system.identity import worker_name
from poolq.system.wakeups import WakeUps, WorkerWakeUps, readable
from poolq.template import load_errors, protocol
from poolq.template.code_changes import stamps
from poolq.template.protocol import (
    CodeAnswer,
    CodeQuery,
    Forked,
    ForkFailed,
    ForkSpare,
    ForkWorker,
    Loaded,
    NotPreloaded,
    TemplateSetup,
    decode,
)
from poolq.worker import process

ADOPTION_TIMEOUT = 10.0  # seconds a worker waits for its master's word


class Template:
    """One generation, loaded."""

    def __init__(self, setup: TemplateSetup, reporter: Reporter) -> None:
        self._setup = setup
        self._reporter = reporter
        self._scores = Scoreboard(setup.rows, setup.board)
        self._wakeups = WakeUps(setup.rows, setup.wakeups)
        self._line = socket.socket(fileno=setup.line)
        self._writers = Writers(setup.writers, setup.token)
        # They came through an exec; a job's own programs shall not get them.
        for fd in (setup.line, setup.life, setup.board, *setup.wakeups, *setup.writers):
            os.set_inheritable(fd, False)

    def run(self) -> int:
        """Load, then serve until the master is gone or says TERM. Returns the exit code."""
        setup = self._setup
        setproctitle(f"poolq: template g{setup.generation} loading")
        pipe = self._writers.named("template")
        adopt(pipe)
        self._reporter.attach(f"template g{setup.generation}", pipe, self._writers.token)
        gc.disable()
        dispatch_by(setup.config)
        engine_class(setup.config)  # so that its workers share that, too
        try:
            self._registry = registry.load(setup.config.app, setup.config.folder)
            take_term()
        except AppError as error:
            protocol.send(self._line, load_errors.of(error))
            return error.exit_code
        if why := _unsafe():
            protocol.send(self._line, NotPreloaded(load_errors.reason(why)))
            return 0
        self._stamps = stamps(setup.config.folder)
        gc.collect()
        gc.freeze()
        setproctitle(f"poolq: template g{setup.generation}")
        protocol.send(self._line, Loaded())
        return self._serve()

    def _serve(self) -> int:
        while True:
            message, fds = protocol.receive(self._line)
            if message is None:
                return 0
            if isinstance(message, ForkWorker):
                self._spawn(message)
            elif isinstance(message, ForkSpare) and fds:
                setproctitle(f"poolq: template g{self._setup.generation}")  # no copy any more
                self._spare(fds[0])
            elif isinstance(message, CodeQuery):
                protocol.send(self._line, CodeAnswer(message.seq, self._changed()))

    def _changed(self) -> bool:
        """Since it was loaded, or since this was said: what is refused is tried once, until there
        is another change."""
        before, self._stamps = self._stamps, stamps(self._setup.config.folder)
        return self._stamps != before

    def _spawn(self, request: ForkWorker) -> None:
        if self._fork_twice(request.seq):
            _leave_with(lambda: self._work(request))

    def _fork_twice(self, seq: int) -> bool:
        """True in the grandchild. The process between tells its pid and ends, so that the master
        becomes its parent."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with signals_blocked():
            middle = self._fork(seq)
            if middle is None:
                return False
            if middle:
                os.waitpid(middle, 0)
                return False
            pid = self._fork(seq)
            if pid != 0:
                if pid:
                    protocol.send(self._line, Forked(seq, pid))
                os._exit(0)
        return True

    def _fork(self, seq: int) -> int | None:
        try:
            return os.fork()
        except OSError as error:
            protocol.send(self._line, ForkFailed(seq, error.strerror or str(error)))
            return None

    def _spare(self, fd: int) -> None:
        if not self._fork_twice(0):
            os.close(fd)
            return

        def wait_dormant() -> int:
            os.setpgid(0, 0)
            setproctitle(f"poolq: template g{self._setup.generation} spare")
            if not self._adopted():
                return 0
            die_with_parent()
            self._line.close()
            self._line = socket.socket(fileno=fd)
            return self._serve()

        _leave_with(wait_dormant)

    def _adopted(self) -> bool:
        """Wait until the process between has ended: before, its end would be our parent's death."""
        for _ in range(round(ADOPTION_TIMEOUT / 0.005)):
            if os.getppid() == self._setup.master:
                return True
            if readable([self._setup.life], 0.005):
                break  # the master has ended: it will never be our parent
        return False

    def _work(self, request: ForkWorker) -> int:
        """A worker's life, from the master's word on."""
        os.setpgid(0, 0)
        self._line.close()
        pipe = self._writers.row(request.row)
        for fd in self._writers.all_but(pipe):
            os.close(fd)
        adopt(pipe)
        self._reporter.attach(
            f"worker {request.slot}", pipe, self._writers.token,
            job=lambda: self._scores.running_job(request.row)[0],
            on_event=self._scores.recent_events("worker", request.row).add,
        )  # fmt: skip
        gc.enable()
        setup = self._setup
        worker = process.WorkerSetup(
            setup.config, worker_name(setup.node, request.seq), setup.node, request.slot,
            setup.generation, setup.master, setup.life, request.first,
            self._scores.worker_row(request.row), self._scores.start_order(request.row),
            WorkerWakeUps(self._wakeups, request.row),
            self._reporter, self._wakeups.master.wake,
        )  # fmt: skip
        if not self._go(request.row):
            return 0
        return process.main(worker, self._registry)

    def _go(self, row: int) -> bool:
        """Wait until the master has adopted this process and knows of it."""
        for _ in range(round(ADOPTION_TIMEOUT / 0.01)):
            adopted = os.getppid() == self._setup.master
            if adopted and self._scores.pid(row) == os.getpid():
                return True
            if readable([self._setup.life], 0):
                break
            self._wakeups.doorbells[row].wait(0.01)
        return False


def _leave_with(main: Callable[[], int]) -> None:
    code = 70
    try:
        code = main()
        flush_streams()
    except BaseException:  # noqa: BLE001  # the last frame of this process: tell, then leave
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _unsafe() -> str:
    """Why what was imported cannot be forked; "" when it can."""
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate()[1:])
        return f"the import left threads running ({names})"
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_socket():
            with socket.socket(fileno=os.dup(int(entry.name))) as held:
                if held.family in (socket.AF_INET, socket.AF_INET6) and _connected(held):
                    return f"the import left a connection open (to {held.getpeername()[0]})"
    return ""


def _connected(held: socket.socket) -> bool:
    try:
        held.getpeername()
    except OSError:
        return False
    return True


def take_term() -> None:
    """Also for a worker in its first moment. What is imported may have a handler of its own."""
    signal.signal(signal.SIGTERM, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def serve(fd: int, reporter: Callable[[str], Reporter]) -> int:
    """Do the setup that lies in this descriptor; returns the exit code. `reporter(log_format)`
    makes this process's voice."""
    take_term()
    with open(fd, "rb") as file:  # a descriptor has no path
        setup = decode(file.read())
    die_with_parent()
    if os.getppid() != setup.master:
        return 0
    return Template(setup, reporter(setup.config.log_format)).run()


def main() -> None:
    """A template's program, which the master executes; nobody types it. Its argument is the
    descriptor of the setup."""
    sys.exit(serve(int(sys.argv[1]), set_up))
