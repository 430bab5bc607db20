"""Formats a job's history for people; `records.py` prepares it for programs."""

from poolq.common.escaping import clean
from poolq.engines.base import StoredJob
from poolq.jobs.message import Entry, entries
from poolq.jobs.retry import crash_error
from poolq.monitor.snapshot import Progress
from poolq.monitor.times import local

#: How a job has ended that is not stored.
ENDED = "done, cancelled, discarded, expired, replaced or forgotten"
NOT_STORED = f"is {ENDED}, or never existed"


def line(entry: Entry) -> str:
    """One entry on one line, without its traceback."""
    facts = [local(entry.at) if entry.at else "-", entry.cause]
    if entry.count > 1:
        facts.append(f"{entry.count} times")
    if entry.attempt:
        facts.append(f"attempt {entry.attempt}")
    if entry.signal:
        facts.append(f"signal {entry.signal}")
    if entry.exit_code:
        facts.append(f"exit code {entry.exit_code}")
    if entry.worker:
        facts.append(f"on {entry.worker}")
    return "  ".join(facts) + (f"  {clean(entry.error)}" if entry.error else "")


def last_error(stored: StoredJob) -> str:
    """Return the last error. For a job that has failed because its workers died, it says so."""
    history = entries(stored.state.history)
    if not history:
        return ""
    text = history[-1].error or history[-1].cause
    if stored.status == "failed" and history[-1].cause == "crash":
        return crash_error(stored.state.crashes, text)
    return text


def progress(found: Progress) -> str:
    """What a job reports: `89 of 400, step 89`."""
    total = f" of {found.total}" if found.total else ""
    return f"{found.done}{total}{f', {found.note}' if found.note else ''}"


def attempts(stored: StoredJob, most: int | None) -> tuple[str, str]:
    """Return a title and a text: the attempt that is running or comes next, counted from 1, or how
    many attempts a failed job has used. `most`: the job's maximum, None if it is unknown."""
    used, of = stored.state.attempt, f"of {'?' if most is None else most}"
    if stored.status == "failed" or stored.state.failing:
        return "attempts", f"{used} {of} used"
    return ("attempt" if stored.status == "running" else "next attempt"), f"{used + 1} {of}"
