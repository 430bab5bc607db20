"""What a dead worker's scoreboard row says of its claims (pure)."""

import signal

from poolq.engines.base import Death
from poolq.message import Entry, entry
from poolq.pool.scoreboard import UNSEEN, Row

NOTHING = -1


def cause(row: Row) -> str:
    """How the worker ended, in words."""
    if row.signal:
        try:
            name = signal.Signals(row.signal).name
        except ValueError:
            name = f"signal {row.signal}"
        return f"killed by {name}"
    if row.exit_code == UNSEEN:
        return "ended, nobody saw how (its master was dead)"
    return f"exited with code {row.exit_code}"


def death(row: Row, worker: str, host: str, now: int) -> Death:
    """The last words of `worker`; `now` in microseconds since the epoch."""
    running = row.started > row.finished and row.charged
    error = f"worker {row.slot} (pid {row.pid}) on {host} {cause(row)}"
    line = Entry(
        now, "crash", error, worker=worker, signal=row.signal, exit_code=row.exit_code % UNSEEN
    )
    started = row.started - 1 if running else NOTHING
    return Death(row.request, row.finished, started, entry(line))
