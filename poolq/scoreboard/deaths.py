"""What a dead worker's scoreboard row says about its claims (pure)."""

import signal

from poolq.engines.base import DeathReport
from poolq.jobs.message import Entry, entry
from poolq.scoreboard.board import Row
from poolq.scoreboard.layout import EXIT_UNKNOWN, KillReason

NOT_STARTED = -1


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


def death_report(row: Row, worker: str, host: str, now: int) -> DeathReport:
    """Return a report on the dead `worker` for the engine. `now`: microseconds since the epoch."""
    running = row.started > row.ended and row.charged
    who = f"worker {row.slot} (pid {row.pid}) on {host}"
    limit = f"{row.timeout / 1e6:g} s"
    timed_out = row.kill_reason == KillReason.TIMEOUT and row.attempt > 0
    if timed_out:
        error = f"JobTimeout: overran its {limit}; {who} was killed"
    elif row.kill_reason == KillReason.TIMEOUT:
        error = f"its hook overran the timeout of {limit}; {who} was killed"
    elif row.kill_reason == KillReason.MEMORY:
        error = f"{who} was killed at {row.rss >> 20} MiB, over --max-memory-hard"
    else:
        error = f"{who} {describe_exit(row)}"
    line = Entry(
        now,
        "timeout" if timed_out else "crash",
        error,
        row.attempt if timed_out else 0,
        worker=worker,
        signal=row.signal,
        exit_code=row.exit_code % EXIT_UNKNOWN,
    )
    started = row.started - 1 if running else NOT_STARTED
    return DeathReport(
        request=row.request,
        finished=row.finished,
        started=started,
        entry=entry(line),
        timed_out=timed_out,
        delay=row.retry_delay if timed_out else 0,
        before=row.previous_request,
        settled=row.settled_below,
    )
