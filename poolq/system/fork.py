"""Forking: what a child must undo of its parent's state before it becomes a worker or a keeper.

All signals are blocked around the fork, so that none is handled by the wrong process. A child exits
by `os._exit`, after flushing its own streams. Each child has its own process group. So a signal to
the master's group reaches only the master, and killing a child's group also kills the subprocesses
of its job. Until a child has its own handlers, TERM simply ends it.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import NoReturn

EXIT_CRASHED = 70


def fork(main: Callable[[], int], close: tuple[int, ...], *, alone: bool = True) -> int:
    """Fork a child that runs `main` and exits with its code; return the child's pid. `close`:
    descriptors that the child must close. `alone`: whether the child leaves the parent's process
    group and its terminal. Raises OSError if the system has no room for another process."""
    flush_streams()
    with signals_blocked() as mask:
        pid = os.fork()
        if pid == 0:
            exit_with(partial(_become, main, close, mask, alone=alone))
    return pid


@contextmanager
def signals_blocked() -> Iterator[set[int | signal.Signals]]:
    """Block all signals in the context; yield the previous mask. A fork loses a signal that has
    arrived and was not handled yet, unless the signal is blocked."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _become(
    main: Callable[[], int], close: tuple[int, ...], mask: set[int | signal.Signals], *, alone: bool
) -> int:
    """Undo what the child has inherited, then run `main`."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, exit_on_term)
    if alone:
        os.setpgid(0, 0)
    for fd in close:
        os.close(fd)
    if alone:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return main()


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Run `main` as the outermost frame of this process, and exit with its code."""
    code = EXIT_CRASHED
    try:
        code = main()
        flush_streams()
    except BaseException:  # noqa: BLE001  # report it, then exit
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def flush_streams() -> None:
    """Flush stdout and stderr, before a fork or `os._exit`. Ignore failures: a job may have
    closed or replaced the streams, or nobody may read them."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def execute(argv: list[str], inherited: tuple[int, ...]) -> int:
    """Become another program, which keeps the descriptors `inherited`. Raises OSError."""
    for fd in inherited:
        os.set_inheritable(fd, True)
    os.execv(argv[0], argv)  # noqa: S606  # without a shell, on purpose


def exit_on_term(_number: int, _frame: FrameType | None) -> None:
    """Handle TERM in a process that has nothing to finish."""
    os._exit(0)
