"""What a dead worker's scoreboard row says about its claims (pure)."""

import signal

from poolq.engines.base import DeathEnd, DeathReport
from poolq.errors import EXIT_QUIT
from poolq.jobs.message import Entry, entries, entry, worker_title
from poolq.scoreboard.board import Row
from poolq.scoreboard.layout import EXIT_UNKNOWN, KillReason, Phase

NOT_STARTED = -1
#: How often in a row a job may be given back after a SIGQUIT, which the job itself may have sent.
MAX_QUITS = 2


def describe_exit(row: Row) -> str:
    """Return in words how the worker ended."""
    if row.signal:
        try:
            name = signal.Signals(row.signal).name
        except ValueError:
            name = f"signal {row.signal}"
        return f"killed by {name}"
    if row.exit_code == EXIT_UNKNOWN:
        return "ended unobserved, because its master was dead"
    return f"exited with code {row.exit_code}"


def has_quit(row: Row) -> bool:
    """Return whether SIGQUIT has ended the worker in the middle of a job."""
    return row.phase == Phase.LEAVING and row.started > row.ended


def death_report(row: Row, pool: str, host: str, now: int, history: bytes = b"") -> DeathReport:
    """Return a report on a dead worker for the engine. `now`: microseconds since the epoch;
    `history`: the history of the running job, needed if SIGQUIT has ended the worker."""
    running = row.started > row.ended and row.charged
    end, error = _end(row, f"worker {row.slot} (pid {row.pid}) on {host}", history)
    timed_out = end == "timeout"
    line = Entry(
        now,
        end,
        error,
        row.attempt if timed_out else 0,
        worker=worker_title(row.slot, pool, host),
        signal=row.signal,
        exit_code=EXIT_QUIT if has_quit(row) else row.exit_code % EXIT_UNKNOWN,
    )
    started = row.started - 1 if running else NOT_STARTED
    return DeathReport(
        request=row.request,
        finished=row.finished,
        started=started,
        entry=entry(line),
        end=end,
        delay=row.retry_delay if timed_out else 0,
        settled=row.settled_below,
    )


def _end(row: Row, worker: str, history: bytes) -> tuple[DeathEnd, str]:
    """Return how the job that `worker` was running has ended, and the cause in words."""
    limit = f"{row.timeout / 1e6:g} s"
    if row.kill_reason and row.killed_claim != row.claim:  # it started another job before it died
        return "returned", f"{worker} was killed because of an earlier job"
    if has_quit(row):
        last = [line.exit_code for line in entries(history)[-MAX_QUITS:]]
        return "crash" if last == [EXIT_QUIT] * MAX_QUITS else "returned", f"{worker} got SIGQUIT"
    match row.kill_reason:
        case KillReason.TIMEOUT if row.attempt > 0:
            return "timeout", f"JobTimeout: overran its {limit}; {worker} was killed"
        case KillReason.TIMEOUT:
            return "crash", f"its hook overran the timeout of {limit}; {worker} was killed"
        case KillReason.MEMORY:
            return "crash", f"{worker} was killed at {row.rss >> 20} MiB, over --max-memory-hard"
        case KillReason.CANCELLED:
            return "cancelled", f"{worker} was killed by a request to cancel its job"
        case KillReason.RETURNED:
            return "returned", f"{worker} was killed by a request to give its job back"
    return "crash", f"{worker} {describe_exit(row)}"
