"""The progress of running jobs, which heartbeats publish so that other hosts can read it."""

from poolq.scoreboard.board import Scoreboard

MAX_JOBS = 100  # one heartbeat publishes the progress of at most this many jobs


def read_progress(scores: Scoreboard) -> dict[str, tuple[int, int, str]]:
    """Return done, total and note by job id. A job that reports none costs one comparison."""
    reports: dict[str, tuple[int, int, str]] = {}
    for row in scores.used_rows():
        progress = scores.progress(row) if row.in_job and len(reports) < MAX_JOBS else None
        if progress is not None:
            id = scores.running_job(row.index)[0]
            if id and scores.read(row.index).since == row.since:  # so `id` is that of `row`
                reports[id] = progress
    return reports
