"""A pool that is starting must take signals before the rest of the command is imported, which takes
longer than a supervisor may wait. Until the master has handlers of its own, TERM, INT and QUIT end
it as one that has begun nothing, and the others do nothing.
"""

import os
import signal
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_QUIET = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)


def take_signals() -> None:
    """For `poolq run` alone."""
    for number in _ENDING:
        signal.signal(number, _end)
    for number in _QUIET:
        if signal.getsignal(number) != signal.SIG_IGN:  # the pool wants to know of `nohup`
            signal.signal(number, _nothing)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """What it asks for (new code, a new log, another number) a starting pool need not do."""
