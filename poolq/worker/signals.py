"""A worker's signals: a job may change handlers and mask while it runs; then the worker restores
them.

A job may catch TERM, ignore it or leave it blocked: the worker's row also contains what the master
wants, and TERM only wakes the worker up.
"""

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import os
import signal
from collections.abc import Callable

from poolq.system import stack_dump
from poolq.system.child_signals import ChildSignals, use_large_stack

#: C's own, which creates no enum: 50 ns instead of 2 µs.
_handler_of: Callable[[int], object] = _signal.getsignal
_TERM = int(signal.SIGTERM)


class WorkerSignals(ChildSignals):
    """Adds what user code between two claims makes necessary."""

    @staticmethod
    def enable_stack_dump() -> int:
        """See `stack_dump.enable`."""
        number = stack_dump.enable()
        use_large_stack()
        return number

    def restore(self) -> None:
        """Undo what a job has left for the next one: an alarm, handlers, blocked signals."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number, handler in self._handlers.items():
            if _handler_of(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)  # blocked signals arrive now

    def after_user_code(self) -> None:
        """Keep TERM from ending the worker by a default that a job has left, and from raising what
        a job's handler raises. A child that the job forked, and that got here, exits."""
        if self.inherited:
            os._exit(0)
        if _handler_of(_TERM) is not self._handle_term:
            self.restore()
