"""A worker's signals: handlers and mask are a job's until it ends, and ours from then on.

A job may catch TERM, ignore it or leave it blocked: what the master wants is written in the
worker's row as well, and its TERM only wakes up who waits.
"""

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import os
import signal
from collections.abc import Callable

from poolq.system import stack_dump
from poolq.system.child_signals import ChildSignals, use_large_stack

#: C's own, which makes no enum of the answer: 50 ns in place of 2 µs.
_handler_of: Callable[[int], object] = _signal.getsignal
_TERM = int(signal.SIGTERM)


class WorkerSignals(ChildSignals):
    """Adds what user code between two claims makes necessary."""

    @staticmethod
    def enable_stack_dump() -> int:
        """See `stack_dump.offer`."""
        number = stack_dump.enable()
        use_large_stack()
        return number

    def restore(self) -> None:
        """Undo what a job has left to the next one: an alarm that is set, handlers of its own,
        signals that it has blocked."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number, handler in self._handlers.items():
            if _handler_of(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)  # what was blocked comes now

    def after_user_code(self) -> None:
        """TERM shall neither end us by a default that a job has left, nor raise what its handler
        raises. A child that the job forked, and that came back here, is no worker."""
        if self.inherited:
            os._exit(0)
        if _handler_of(_TERM) is not self._handle_term:
            self.restore()
