"""The template: a fresh interpreter that loads one generation of the application and forks its
workers, which share its memory until they write to it. It runs no job.

- It imports with the garbage collector off and freezes the heap, so that no collection in a worker
  touches, and thereby copies, the shared memory.
- It forks twice for each worker, so that the worker's parent is the master, the pool's subreaper.
- After the freeze, it forks a dormant copy of itself. If the template is killed, the copy takes
  over, because the code on disk may have changed or be broken by then.
- It gives up preloading if the import leaves threads or connections, as a fork would break them.

`master/policy.py` decides which worker to fork, and when.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable

from setproctitle import setproctitle

from poolq.config import engine_class
from poolq.errors import AppError, PoolqError
from poolq.jobs import registry
from poolq.jobs.callbacks import on
from poolq.jobs.producer import dispatch_by
from poolq.log.pipes import Writers, adopt
from poolq.log.reporting import Log, set_up
from poolq.scoreboard.board import Scoreboard
from poolq.system.fork import exit_on_term, exit_with, flush_streams, signals_blocked
from poolq.system.host import die_with_parent
from poolq.system.identity import worker_name
from poolq.system.wakeups import WakeUp, WakeUps, WorkerWakeUps, readable
from poolq.template import fork_safety, load_errors, protocol
from poolq.template.code_changes import describe_changes, stamps
from poolq.worker import process

ADOPTION_TIMEOUT = 10.0  # seconds that a worker waits for the master to adopt it
POLL_INTERVAL = 0.01  # seconds


class Template:
    """A template process. `setup`: what its master has passed to it."""

    def __init__(self, setup: protocol.TemplateSetup, reporter: Log) -> None:
        self._setup = setup
        self._reporter = reporter
        self._scores = Scoreboard(setup.rows, setup.board)
        self._wakeups = WakeUps(setup.rows, setup.wakeups)
        self._line = socket.socket(fileno=setup.line)
        self._writers = Writers(setup.writers, setup.token)
        # The exec needed inheritable descriptors. Programs that a job starts must not inherit them.
        for fd in (setup.line, setup.life, setup.board, *setup.wakeups, *setup.writers):
            os.set_inheritable(fd, False)

    def run(self) -> int:
        """Load the application, then serve until the master is gone. Returns the exit code."""
        setup = self._setup
        setproctitle(f"poolq: template g{setup.generation} loading")
        pipe = self._writers.named("template")
        adopt(pipe)
        self._reporter.attach(f"template g{setup.generation}", pipe, self._writers.token)
        sockets = fork_safety.sockets()
        gc.disable()
        dispatch_by(setup.config)
        engine_class(setup.config)  # loads its library, which the workers then share
        try:
            self._registry = registry.load(setup.config.app, setup.config.folder)
            on.loaded.call()
            restore_term()
        except AppError as error:
            protocol.send(self._line, load_errors.of(error))
            return error.exit_code
        if why := fork_safety.obstacle(sockets):
            protocol.send(self._line, protocol.NotPreloaded(load_errors.reason(why)))
            return 0
        self._stamps = stamps(setup.config.folder)
        gc.collect()
        gc.freeze()
        setproctitle(f"poolq: template g{setup.generation}")
        protocol.send(self._line, protocol.Loaded())
        return self._serve()

    def _serve(self) -> int:
        while True:
            message, fds = protocol.receive(self._line)
            if message is None:
                return 0
            if isinstance(message, protocol.ForkWorker):
                if files := self._code_changes() if message.check else "":
                    protocol.send(self._line, protocol.CodeChanged(message.seq, files))
                else:
                    self._fork_worker(message)
            elif isinstance(message, protocol.ForkSpare) and fds:
                # If this is a copy that has just taken over, it still has the title of a spare.
                setproctitle(f"poolq: template g{self._setup.generation}")
                self._fork_spare(fds[0])

    def _code_changes(self) -> str:
        """Return which files have changed since the code was loaded or last checked. So refused
        code is not tried again until it changes once more."""
        folder = self._setup.config.folder
        before, self._stamps = self._stamps, stamps(folder)
        return describe_changes(before, self._stamps, folder)

    def _fork_worker(self, request: protocol.ForkWorker) -> None:
        if self._fork_twice(request.seq):
            exit_with(lambda: self._run_worker(request))

    def _fork_twice(self, seq: int) -> bool:
        """Fork a grandchild. Returns True in the grandchild. The child sends the grandchild's pid
        to the master and exits, so that the master becomes the grandchild's parent."""
        flush_streams()
        with signals_blocked():
            child = self._fork(seq)
            if child is None:
                return False
            if child:
                os.waitpid(child, 0)
                return False
            pid = self._fork(seq)
            if pid != 0:
                if pid:
                    protocol.send(self._line, protocol.Forked(seq, pid))
                os._exit(0)
        return True

    def _fork(self, seq: int) -> int | None:
        try:
            return os.fork()
        except OSError as error:
            protocol.send(self._line, protocol.ForkFailed(seq, error.strerror or str(error)))
            return None

    def _fork_spare(self, fd: int) -> None:
        if not self._fork_twice(0):
            os.close(fd)
            return

        def wait_dormant() -> int:
            os.setpgid(0, 0)
            setproctitle(f"poolq: template g{self._setup.generation} spare")
            if not self._wait_until(lambda: True):
                return 0
            die_with_parent()
            self._line.close()
            self._line = socket.socket(fileno=fd)
            return self._serve()

        exit_with(wait_dormant)

    def _wait_until(self, is_recorded: Callable[[], bool], *doorbells: WakeUp) -> bool:
        """Wait until the master has adopted this process and `is_recorded()` is true. Returns False
        if that takes too long. Until then, this process must not die with its parent, which exits
        at once."""
        life, fds = self._setup.life, [bell.fd for bell in doorbells]
        for _ in range(round(ADOPTION_TIMEOUT / POLL_INTERVAL)):
            if os.getppid() == self._setup.master and is_recorded():
                return True
            if life in readable([life, *fds], POLL_INTERVAL):
                break  # the master has ended
            for doorbell in doorbells:
                doorbell.clear()
        return False

    def _run_worker(self, request: protocol.ForkWorker) -> int:
        """Become a worker, once the master has adopted this process."""
        os.setpgid(0, 0)
        self._line.close()
        for fd in self._writers.all_but(self._writers.fds[request.row]):
            os.close(fd)
        log_as_worker(self._reporter, self._writers, self._scores, request)
        gc.enable()
        row, pid = request.row, os.getpid()
        if not self._wait_until(lambda: self._scores.pid(row) == pid, self._wakeups.doorbells[row]):
            return 0
        setup = worker_setup(self._setup, request, self._scores, self._wakeups, self._reporter)
        return process.main(setup, self._registry)


def log_as_worker(
    reporter: Log, writers: Writers, scores: Scoreboard, request: protocol.ForkWorker
) -> None:
    """Let this process log as the requested worker."""
    row, name = request.row, f"worker {request.slot}"
    adopt(writers.fds[row])
    job, on_event = lambda: scores.running_job(row)[0], scores.recent_events(name, row).add
    reporter.attach(name, writers.fds[row], writers.token, job=job, on_event=on_event)


def worker_setup(
    setup: protocol.TemplateSetup,
    request: protocol.ForkWorker,
    scores: Scoreboard,
    wakeups: WakeUps,
    reporter: Log,
    failed: Callable[[PoolqError], None] | None = None,
) -> process.WorkerSetup:
    """Return what the requested worker gets from its pool."""
    return process.WorkerSetup(
        config=setup.config,
        worker=worker_name(setup.node, request.seq),
        node=setup.node,
        slot=request.slot,
        generation=setup.generation,
        master=setup.master,
        life=setup.life,
        first=request.first,
        row=scores.worker_row(request.row),
        order=scores.start_order(request.row),
        wakeups=WorkerWakeUps(wakeups, request.row),
        reporter=reporter,
        ready=wakeups.master.wake,
        failed=failed,
    )


def restore_term() -> None:
    """Make TERM end this process, whatever handler an import has set. Workers inherit this."""
    signal.signal(signal.SIGTERM, exit_on_term)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def main() -> None:
    """Run a template, which only the master starts. The argument is the setup's descriptor."""
    restore_term()
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        setup = protocol.decode(file.read())
    die_with_parent()
    if os.getppid() != setup.master:
        sys.exit(0)
    sys.exit(Template(setup, set_up(setup.config.log_format)).run())
