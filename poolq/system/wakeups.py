"""The bells between the processes of a pool: eventfds, which say "look again" and nothing more."""

import os
from collections.abc import Sequence

from poolq.system.poll import readable


class WakeUp:
    """Rung by any process that has it; rings add up, one `quiet` takes them all."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if fd is None else fd

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def quiet(self) -> None:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return

    def wait(self, timeout: float) -> bool:
        """True if it was rung within `timeout` seconds; takes the rings."""
        rung = bool(readable([self.fd], timeout))
        if rung:
            self.quiet()
        return rung


class WakeUps:
    """All of a pool: the master's, the keeper's, the waiter's, and a doorbell a row."""

    def __init__(self, rows: int, fds: Sequence[int] = ()) -> None:
        bells = [WakeUp(fd) for fd in fds] or [WakeUp() for _ in range(rows + 3)]
        self.master, self.keeper, self.idle, *self.doors = bells

    def fds(self) -> list[int]:
        """For `WakeUps(rows, fds)` in a process that was executed anew."""
        return [bell.fd for bell in (self.master, self.keeper, self.idle, *self.doors)]


class WorkerWakeUps:
    """A worker's two."""

    def __init__(self, bells: WakeUps, row: int) -> None:
        self.doorbell = bells.doors[row].fd
        self._idle = bells.idle
        self._master = bells.master

    def idle(self) -> None:
        """Tell the keeper's waiter that there is somebody to wake."""
        self._idle.ring()

    def look(self) -> None:
        """Have the master look at this worker's row now."""
        self._master.ring()
