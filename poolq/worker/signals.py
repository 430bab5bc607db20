"""A worker's signals. A job may change handlers and mask while it runs; the worker restores them
afterwards.

A job may catch, ignore or block TERM. So TERM only wakes the worker up; the worker reads from its
row whether it must exit.
"""

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import os
import signal
from collections.abc import Callable

from poolq.system import stack_dump
from poolq.system.child_signals import ChildSignals, use_large_stack

#: The C function takes 50 ns; `signal.getsignal`, which creates an enum, takes 2 µs.
_handler_of: Callable[[int], object] = _signal.getsignal
_TERM = int(signal.SIGTERM)


class WorkerSignals(ChildSignals):
    """Adds a stack dump, and restores the signals after user code."""

    @staticmethod
    def enable_stack_dump() -> int:
        """Call `stack_dump.enable` and return the number of the stack file."""
        number = stack_dump.enable()
        use_large_stack()
        return number

    def restore(self) -> None:
        """Undo what a job may have changed: an alarm, handlers, blocked signals."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number, handler in self._handlers.items():
            if _handler_of(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)  # blocked signals arrive now

    def after_user_code(self) -> None:
        """Restore the signals if the job has replaced TERM's handler, so that TERM neither ends the
        worker nor raises an error. Exit if this process is a child that the job forked."""
        if self.inherited:
            os._exit(0)
        if _handler_of(_TERM) is not self._handle_term:
            self.restore()
