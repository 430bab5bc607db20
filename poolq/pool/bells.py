"""The bells between the processes of a pool: eventfds, which say "look again" and nothing more."""

import os
import select


class Bell:
    """Rung by any process that inherited it; rings add up, one `quiet` takes them all."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def quiet(self) -> None:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return

    def wait(self, timeout: float) -> bool:
        """True if it was rung within `timeout` seconds; takes the rings."""
        ready, _, _ = select.select([self.fd], [], [], timeout)
        if ready:
            self.quiet()
        return bool(ready)


class Bells:
    """All of a pool: the master's, the keeper's, the waiter's, and a doorbell a row."""

    def __init__(self, rows: int) -> None:
        self.master = Bell()
        self.keeper = Bell()
        self.idle = Bell()
        self.doors = [Bell() for _ in range(rows)]


class WorkerBells:
    """A worker's two."""

    def __init__(self, bells: Bells, row: int) -> None:
        self.doorbell = bells.doors[row].fd
        self._idle = bells.idle

    def idle(self) -> None:
        """Tell the keeper's waiter that there is somebody to wake."""
        self._idle.ring()
