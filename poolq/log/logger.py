"""The logger: the process that writes all lines of a pool.

- Its main thread only moves bytes from the pipes into the ring, so that no worker waits. The sink's
  thread formats and writes them. Lines are dropped only if the sink has stalled.
- It may be killed at any time. Pipes and ring outlive it, and the next logger continues.
- It exits when the master requests it, or when no process is left that could write to a pipe. TERM
  only wakes it up, because a supervisor may send TERM to all processes.
- The master starts it again if it ends, and kills it if it hangs.
"""

import os
import selectors
import signal
from math import inf
from time import monotonic, time

from setproctitle import setproctitle

from poolq.log.frames import unread
from poolq.log.pipes import Pipes
from poolq.log.ring import MAX_READ
from poolq.log.sink import LoggerSetup, Sink
from poolq.system.kill import send
from poolq.system.signal_queue import SignalQueue
from poolq.system.wakeups import readable

BEAT_INTERVAL = 1.0  # maximum seconds between two heartbeats
FLUSH_TIMEOUT = 5.0  # seconds that the sink gets to finish at the end
#: Seconds to wait for more lines, because waking up costs more than a few lines do. The logger also
#: waits this long for room in the ring. Meanwhile a busy worker fills a fifth of its pipe.
GATHER_DELAY = 0.002
#: How many times a pipe is looked at if a new job starts each time. A job that starts a subprocess
#: takes longer than one look.
MAX_JOB_CHANGES = 5
EXIT_SINK_DIED = 70


def main(setup: LoggerSetup) -> int:
    """Run until everything is written; return the exit code. Call it in a process of its own."""
    setproctitle("poolq: logger")
    return Logger(setup).run()


class Logger:
    def __init__(self, setup: LoggerSetup) -> None:
        pipes = setup.pipes
        self._setup = setup
        self._ring = pipes.ring
        self._rows = pipes.writers.rows
        self._signals = SignalQueue()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals.fd, selectors.EVENT_READ, None)
        for source, fd in enumerate(pipes.readers):
            self._selector.register(fd, selectors.EVENT_READ, source)
        self._sink = Sink(setup)

    def run(self) -> int:
        self._signals.install()
        # A terminal that stops background writers must not stop this one.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._ring.recover()
        self._sink.start()
        while self._round():
            if not self._sink.is_alive():
                return EXIT_SINK_DIED  # the sink has reported why on stderr
        self._sink.finish(FLUSH_TIMEOUT)
        return 0

    def _round(self) -> bool:
        """Read each pipe that has data. Return False when all is read and no writer is left."""
        self._setup.beat()
        ending = self._ring.exit_requested
        read = crowded = False
        for key, _ in self._selector.select(0.0 if ending else BEAT_INTERVAL):
            if key.data is None:
                if "SIGUSR1" in self._signals.take():  # the log file was moved
                    self._sink.reopen()
            elif self._read(key.fd, key.data):
                read = True
            else:
                crowded = True
        if read:
            self._sink.wake()
        if crowded or (read and not ending):
            readable((), GATHER_DELAY)
        if ending and not read and not crowded:
            return False
        return len(self._selector.get_map()) > 1

    def _read(self, fd: int, source: int) -> bool:
        """Move the content of a pipe into the ring. Return False if there is no room."""
        slot, job, length = self._snapshot(fd, source)
        if length == 0:  # it is readable but empty, so no writer is left
            self._selector.unregister(fd)
            os.close(fd)
            return True
        length, stalled = min(MAX_READ, length), self._sink.stalled()
        return self._ring.read(fd, length, source, time(), slot=slot, job=job, drop=stalled)

    def _snapshot(self, fd: int, source: int) -> tuple[int, str, int]:
        """Return the slot, the running job, and how many bytes the pipe contained while that job
        ran. An END frame follows the bytes of earlier jobs, so the other bytes are this job's."""
        if source >= self._rows:
            return 0, "", unread(fd)
        length, writer = 0, self._setup.who(source)
        for _ in range(MAX_JOB_CHANGES):
            length, before = unread(fd), writer
            writer = self._setup.who(source)
            if writer == before:
                break
        return *writer, length


def stop_logger(pid: int, pipes: Pipes) -> None:
    """Stop the logger and wait for its end. Call this after all other processes have ended."""
    pipes.ring.request_exit()
    send(pid, signal.SIGCHLD)  # makes it check the request; ignored if it has no handlers yet
    deadline = monotonic() + FLUSH_TIMEOUT + 1.0
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if monotonic() > deadline:
            send(pid, signal.SIGKILL)
            deadline = inf
        readable((), 0.005)
