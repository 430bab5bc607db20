"""The signals of a worker or a keeper, and waiting. Handlers only set a flag; the loop acts on it.

TERM asks a worker to finish its job and exit. QUIT makes it exit at once; the keeper then gives the
worker's jobs back. USR2 writes the stack of every thread to stderr, even if the worker hangs in C.
INT, HUP, TTIN, TTOU and USR1 have empty handlers, since subprocesses inherit ignored signals.
"""

import ctypes
import faulthandler
import mmap
import os
import signal
import struct
from collections.abc import Callable, Sequence
from types import FrameType

from poolq.errors import EXIT_QUIT
from poolq.system import stack_dump
from poolq.system.host import die_with_parent
from poolq.system.wakeups import drain, readable

STACK_BYTES = 1 << 20  # for all signals at once; pages that are never touched cost nothing
Handler = Callable[[int, FrameType | None], object] | signal.Handlers
IGNORED_SIGNALS = ("SIGINT", "SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGWINCH")


class ChildSignals:
    """`life`: a pipe that ends when the master dies. `stop_requested`: a word that is not 0 when
    this process must exit. `inherited`: whether user code has forked this process."""

    def __init__(self, life: int, stop_requested: Sequence[int] | memoryview = (0,)) -> None:
        self._stop_requested = stop_requested
        self._stop_heard = False
        self.orphaned = False
        self.inherited = False
        self._life = life
        self._master = 0
        self._wakeup, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._handlers: dict[signal.Signals, Handler] = {}
        self._mask: set[int | signal.Signals] = set()
        self._handle_term: Handler = self._stop  # kept, since each access creates a new method

    @property
    def stopping(self) -> bool:
        """True if this process must exit. It is cheap, since it is read before each job."""
        return self._stop_heard or self._stop_requested[0] != 0

    def install(self, master: int, abort: Callable[[], None], *, outlive: bool = False) -> None:
        """Replace the handlers of the master, from which this process was forked. `abort` is called
        just before QUIT ends the process. `outlive`: whether this process outlives the master. If
        so, the kernel sends no TERM when the master dies; only the pipe reports that."""

        def quit_now(_number: int, _frame: FrameType | None) -> None:
            abort()
            os._exit(EXIT_QUIT)

        self._handlers = {
            signal.SIGTERM: self._handle_term,
            signal.SIGQUIT: quit_now,
            signal.SIGCHLD: signal.SIG_DFL,
            signal.SIGPIPE: signal.SIG_IGN,  # Python's own default
            **{signal.Signals[name]: _nothing for name in IGNORED_SIGNALS},
        }
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        faulthandler.register(signal.SIGUSR2, file=2, all_threads=True)
        use_large_stack()
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, [*self._handlers, signal.SIGUSR2, stack_dump.DUMP_SIGNAL]
        )
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        os.register_at_fork(after_in_child=self._disown)
        if not outlive:
            die_with_parent()
        self._master = master
        if os.getppid() != master:
            self.orphaned = self._stop_heard = True

    def wait(self, timeout: float, *fds: int) -> bool:
        """Sleep until a signal arrives, the master dies or one of `fds` is readable (True)."""
        watched = [self._wakeup, *fds] if self.orphaned else [self._wakeup, self._life, *fds]
        ready = readable(watched, timeout)
        if self._wakeup in ready:
            drain(self._wakeup)
        if self._life in ready:
            self.orphaned = self._stop_heard = True
        return any(fd in ready for fd in fds)

    def poll(self) -> None:
        """Detect the master's death without waiting, by one system call."""
        if not self.orphaned and os.getppid() != self._master:
            self.orphaned = self._stop_heard = True

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_heard = True

    def _disown(self) -> None:
        """Restore the default signals in a child that a job has forked."""
        self.inherited = True
        signal.set_wakeup_fd(-1)
        faulthandler.unregister(signal.SIGUSR2)
        for name in ("SIGTERM", "SIGQUIT", *IGNORED_SIGNALS):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Ignore a signal that a terminal sends to all processes but only the master handles."""


_kept: list[mmap.mmap] = []


def use_large_stack() -> None:
    """Give the calling thread's signal handlers a stack that holds all of them.
    Python's handlers run on an alternate stack if there is one (SA_ONSTACK), and faulthandler makes
    one of about 11 KiB on the heap. Each signal that arrives while others are delivered adds a
    frame of 3 KiB or more, and five at once would overwrite the heap beside that stack. So call
    this after each use of faulthandler."""
    memory = mmap.mmap(-1, STACK_BYTES)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    stack = struct.pack("PiN", address, 0, STACK_BYTES)  # the kernel's stack_t: it has no flags
    sigaltstack: Callable[..., int] = ctypes.CDLL(None, use_errno=True).sigaltstack
    if sigaltstack(stack, None) == 0:
        _kept.append(memory)
