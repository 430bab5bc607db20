"""The process title of a worker: what `ps` shows of it.

Writing it costs as much as all else that is written down of a short job, and nobody can read what
stands there for microseconds. So of short jobs the first one of a batch is shown, where the title
is not new; and, by the watcher, which knows it from the scoreboard's row, one that turns out long.
"""

from setproctitle import setproctitle

#: Nanoseconds for which the title of a short job stands.
TITLE_INTERVAL = 20_000_000


class Title:
    """`head` comes first in it: `poolq: worker 1 g1`. `due`: when a short job is shown again, in
    monotonic nanoseconds."""

    def __init__(self, head: str) -> None:
        self._head = head
        self._shown = ""
        self.due = 0

    def show_state(self, state: str) -> None:
        """Not in a job: `boot`, `idle`."""
        self.due = 0
        self._write(state)

    def show_job(self, id: str, queue: str, job: str, now: int) -> None:
        """This job runs, since `now`. Of a name such as `shop.mails:SendMail` the end is enough."""
        self.due = now + TITLE_INTERVAL
        short = job.rpartition(":")[2] or job
        self._write(f"{queue} {short} {id}".replace("\0", "?"))  # a title ends at a NUL

    def _write(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            setproctitle(f"{self._head} {text}")
