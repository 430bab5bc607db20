"""What a screen needs of whoever reads a pool: run's own dashboard and `poolq top` alike."""

from typing import Protocol

from poolq.view.snapshot import Snapshot


class Source(Protocol):
    """Looks at one pool; used by one thread."""

    def look(self) -> Snapshot | None:
        """The pool now; None when it has ended. Called four times a second: it never waits for a
        broker, and for the pool's master only so long that a person does not notice."""

    def stack(self, pid: int) -> str:
        """Of the worker of that pid, each thread; "" when it does not show it. May take a second,
        and may be called by another thread."""

    def close(self) -> None:
        """Give back what it holds. Idempotent."""
