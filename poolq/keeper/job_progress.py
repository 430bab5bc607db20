"""The progress of running jobs, which heartbeats publish so that other hosts can read it."""

from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import NotesLayout
from poolq.scoreboard.notes import read_progress
from poolq.scoreboard.shared_text import TextPage

MAX_JOBS = 100  # whose progress one heartbeat publishes


class ProgressReader:
    """Reads the progress of one pool's jobs. A job that reports none costs one comparison."""

    def __init__(self, scores: Scoreboard) -> None:
        self._scores = scores
        self._pages: dict[int, TextPage] = {}

    def read(self) -> dict[str, tuple[int, int, str]]:
        """Return done, total and note by job id."""
        found: dict[str, tuple[int, int, str]] = {}
        for row in self._scores.used_rows():
            if row.in_job and self._page(row).version and len(found) < MAX_JOBS:
                progress = read_progress(self._page(row))
                id = self._scores.running_job(row.index)[0]
                still = self._scores.read(row.index).since == row.since  # so `id` is that of `row`
                if id and still and progress is not None and progress[0] == row.since:
                    found[id] = progress[1:]
        return found

    def _page(self, row: Row) -> TextPage:
        page = self._pages.get(row.index)
        if page is None:
            page = NotesLayout(self._scores.pages.notes(row.index)).progress
            self._pages[row.index] = page
        return page
