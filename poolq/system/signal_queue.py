"""The signals of the master and of other processes that have a loop. Handlers only queue them."""

import os
import signal
from collections import deque
from collections.abc import Iterable
from types import FrameType

from poolq.system.wakeups import drain

QUEUED_SIGNALS = (
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGCHLD",
)  # fmt: skip


class SignalQueue:
    """The signals that have arrived and were not read yet. Each arrival makes `fd` readable."""

    def __init__(self) -> None:
        self.fd, self.write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._arrived: deque[str] = deque()

    def install(self, names: Iterable[str] = QUEUED_SIGNALS) -> None:
        """Queue these signals, even if the parent process has blocked them."""
        numbers = [signal.Signals[name] for name in names]
        signal.set_wakeup_fd(self.write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, self._queue)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

    def take(self) -> list[str]:
        """Return the names of all signals that have arrived, the oldest first."""
        drain(self.fd)
        return [self._arrived.popleft() for _ in range(len(self._arrived))]

    def _queue(self, number: int, _frame: FrameType | None) -> None:
        self._arrived.append(signal.Signals(number).name)
