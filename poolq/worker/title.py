"""The process title of a worker, as `ps` shows it.

Setting it costs as much as all other bookkeeping of a short job, and nobody can read a title that
lasts for microseconds. So of short jobs, only the first of a batch is shown, and only if no other
job was shown within TITLE_INTERVAL. If a job turns out to be long, the watcher reads the job's name
from the scoreboard and shows it.
"""

from setproctitle import setproctitle

#: Nanoseconds for which the title of a short job stays.
TITLE_INTERVAL = 20_000_000


class Title:
    """`head` is the beginning of the title, such as `poolq: worker 1 g1`. `due`: the time from
    which a short job may be shown, in monotonic nanoseconds."""

    def __init__(self, head: str) -> None:
        self._head = head
        self._shown = ""
        self.due = 0

    def show_state(self, state: str) -> None:
        """Show a state without a job, such as `idle`."""
        self.due = 0
        self._write(state)

    def show_job(self, id: str, queue: str, job: str, now: int) -> None:
        """Show the job that started at `now`. `shop.mails:SendMail` is shown as `SendMail`."""
        self.due = now + TITLE_INTERVAL
        short = job.rpartition(":")[2] or job
        self._write(f"{queue} {short} {id}".replace("\0", "?"))  # a title ends at a NUL

    def _write(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            setproctitle(f"{self._head} {text}")
