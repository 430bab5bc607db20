"""The wake-ups between the processes of a pool: eventfds that only say "check again"."""

import os
import select
from collections.abc import Iterable, Sequence
from contextlib import suppress


class WakeUp:
    """A wake-up that any process may send. Several add up, and one `clear` removes them all."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if fd is None else fd

    def wake(self) -> None:
        os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a wake-up and clear it. Return whether one came."""
        rung = bool(readable([self.fd], timeout))
        if rung:
            self.clear()
        return rung


class WakeUps:
    """A pool's wake-ups: for the master, the keeper, the keeper's waiter (`idle`), and a doorbell
    for each worker's row in the scoreboard."""

    def __init__(self, rows: int, fds: Sequence[int] = ()) -> None:
        wakeups = [WakeUp(fd) for fd in fds] or [WakeUp() for _ in range(rows + 3)]
        self.master, self.keeper, self.idle, *self.doorbells = wakeups

    def fds(self) -> list[int]:
        """Return the descriptors. A program that inherits them calls `WakeUps(rows, fds)`."""
        return [bell.fd for bell in (self.master, self.keeper, self.idle, *self.doorbells)]


class WorkerWakeUps:
    """The wake-ups that a worker uses. It waits for its doorbell, and sends two others."""

    def __init__(self, wakeups: WakeUps, row: int) -> None:
        self.doorbell = wakeups.doorbells[row].fd
        self._idle = wakeups.idle
        self._master = wakeups.master

    def report_idle(self) -> None:
        """Tell the keeper's waiter that a worker is idle, and can be woken for a job."""
        self._idle.wake()

    def wake_master(self) -> None:
        """Make the master check this worker's row now."""
        self._master.wake()


def drain(fd: int) -> None:
    """Read all that is in a non-blocking pipe."""
    with suppress(BlockingIOError):
        while os.read(fd, 4096):
            pass


def readable(fds: Iterable[int], timeout: float) -> set[int]:
    """Return the descriptors that can be read (or have ended), waiting for at most `timeout`
    seconds. This uses `poll`, because `select` accepts no descriptor above 1023."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(max(0.0, timeout) * 1000)}
