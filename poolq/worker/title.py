"""The process title of a worker: what `ps` shows of it.

Writing it costs as much as all else that is written down of a short job, and nobody can read what
stands there for microseconds. So a job claimed ahead is only noted; the watcher, which looks for
jobs that turn out long, writes it then.
"""

from setproctitle import setproctitle

from poolq.engines.base import Claim


class Title:
    """`head` comes first in it: `poolq: worker 1 g1`."""

    def __init__(self, head: str) -> None:
        self._head = head
        self._shown: Claim | None = None
        self._runs: tuple[Claim, str] | None = None

    def says(self, state: str) -> None:
        """Not in a job: `boot`, `idle`."""
        self._runs = self._shown = None
        setproctitle(f"{self._head} {state}")

    def runs(self, claim: Claim, job: str) -> None:
        """Note what runs from now on."""
        self._runs = (claim, job)

    def show(self) -> None:
        """Write what was noted last, unless it stands there."""
        if self._runs is None:
            return
        claim, job = self._runs
        if claim is not self._shown:
            self._shown = claim
            text = f"{self._head} {claim.queue} {job} {claim.id}"
            setproctitle(text.replace("\0", "?"))  # a title ends at a NUL
