"""Forking: what a child must undo of its parent before it becomes a worker or a keeper.

All signals are blocked around the fork, so none is handled by the wrong process. A child leaves
by `os._exit`, after flushing its own streams. Each child is a process group of its own: a signal
to the master's group reaches only the master, and a kill takes the job's subprocesses too. Until a
child has handlers of its own, TERM ends it as if it had nothing to do, which is so.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

EXIT_CRASHED = 70


def fork(main: Callable[[], int], close: tuple[int, ...], *, alone: bool = True) -> int:
    """Fork; the child runs `main` and exits with its code. Returns the child's pid.

    `close`: descriptors of the parent that the child must not keep. `alone` False: it stays in the
    parent's process group and keeps its terminal. Raises OSError when the system has no room for
    another process.
    """
    flush_streams()
    with signals_blocked() as mask:
        pid = os.fork()
        if pid == 0:
            _become(main, close, mask, alone=alone)
    return pid


@contextmanager
def signals_blocked() -> Iterator[set[int | signal.Signals]]:
    """Block all signals for a while; gives the mask from before.

    A fork forgets a signal that has arrived and was not handled yet: one that is blocked stays.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _become(
    main: Callable[[], int],
    close: tuple[int, ...],
    mask: set[int | signal.Signals],
    *,
    alone: bool,
) -> None:
    """The child's whole life."""
    code = EXIT_CRASHED
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, leave)
        if alone:
            os.setpgid(0, 0)
        for fd in close:
            os.close(fd)
        if alone:
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = main()
        flush_streams()
    except BaseException:  # noqa: BLE001  # the last frame of this process: tell, then leave
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def flush_streams() -> None:
    """Before a fork, and before an end without Python's own. What cannot be written (a job has
    closed or replaced them, nobody reads) changes nothing."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def execute(argv: list[str], kept: tuple[int, ...]) -> int:
    """Become another program, which keeps these descriptors. Never returns but by OSError."""
    for fd in kept:
        os.set_inheritable(fd, True)
    os.execv(argv[0], argv)  # noqa: S606  # no shell is the point


def leave(_number: int, _frame: FrameType | None) -> None:
    """TERM's handler in a process that has nothing to finish."""
    os._exit(0)
