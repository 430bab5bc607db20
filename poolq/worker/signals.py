"""A worker's signals. A job may change handlers, mask and timers while it runs. The worker restores
all of them before it waits, before a job that may be long, and before any job when settlements are
due. After each job it only checks the handlers of TERM and ALRM, because that needs no system call.

A job may catch, ignore or block TERM. So TERM only wakes the worker up; the worker reads from its
scoreboard row whether it must exit.
"""

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import os
import signal
from collections.abc import Callable, Sequence

from poolq.system.child_signals import ChildSignals
from poolq.worker.process_attributes import ProcessAttributes

#: The C function takes 50 ns; `signal.getsignal`, which creates an enum, takes 2 µs.
_handler_of: Callable[[int], object] = _signal.getsignal
_TERM, _ALRM = int(signal.SIGTERM), int(signal.SIGALRM)
#: Timers of CPU time, each with its signal.
_CPU_TIMERS = {signal.ITIMER_VIRTUAL: signal.SIGVTALRM, signal.ITIMER_PROF: signal.SIGPROF}
_TIMER_SIGNALS = {signal.SIGALRM, *_CPU_TIMERS.values()}


class WorkerSignals(ChildSignals):
    """Restores the signals and `attributes` of the process after user code."""

    _handle_alarm: object = _handler_of(_ALRM)

    def __init__(self, life: int, stop_requested: Sequence[int] | memoryview = (0,)) -> None:
        super().__init__(life, stop_requested)
        self.attributes = ProcessAttributes()

    def keep_timers(self) -> None:
        """Remember the present handlers of timer signals, so that these handlers are restored. A
        timer of CPU time that has a handler, such as a profiler's timer, goes on."""
        for number in _TIMER_SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None:  # else it was set in C
                original = signal.Handlers(handler) if isinstance(handler, int) else handler
                self._handlers[number] = original
        self._handle_alarm = _handler_of(_ALRM)

    def restore(self) -> None:
        """Undo what a job may have changed: timers, handlers, blocked signals, attributes of the
        process. The worker must exit if one of the attributes cannot be restored."""
        if not self.attributes.restore():
            self._stop_heard = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        for timer, number in _CPU_TIMERS.items():
            if self._handlers.get(number) is signal.SIG_DFL:
                signal.setitimer(timer, 0)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in signal.sigpending() & _TIMER_SIGNALS:  # blocked; else they arrive below
            signal.signal(number, signal.SIG_IGN)
        for number, handler in self._handlers.items():
            if _handler_of(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)  # blocked signals arrive now

    def after_user_code(self) -> None:
        """Restore the signals if the job has replaced the handler of TERM or ALRM, so that neither
        ends the worker nor raises an error. Exit if this process is a child that the job forked."""
        if self.inherited:
            os._exit(0)
        if (
            _handler_of(_TERM) is not self._handle_term
            or _handler_of(_ALRM) is not self._handle_alarm
        ):
            self.restore()
