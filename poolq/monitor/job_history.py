"""Formats stored jobs for people; `records.py` prepares them for programs."""

from poolq.common.escaping import clean
from poolq.engines.base import StoredJob
from poolq.engines.progress import JobProgress
from poolq.jobs.message import Entry, entries
from poolq.jobs.outcomes import crash_error
from poolq.monitor.amounts import local

#: What may have happened to a job that is no longer stored.
ENDED = "done, cancelled, discarded, expired, replaced or forgotten"
NOT_STORED = f"is {ENDED}, or never existed"


def line(entry: Entry) -> str:
    """One entry on one line, without its traceback."""
    facts = [
        local(entry.at) if entry.at else "-",
        entry.cause,
        entry.count > 1 and f"{entry.count} times",
        entry.attempt and f"attempt {entry.attempt}",
        entry.signal and f"signal {entry.signal}",
        entry.exit_code and f"exit code {entry.exit_code}",
        entry.worker and f"on {entry.worker}",
        clean(entry.error),
    ]
    return "  ".join(fact for fact in facts if isinstance(fact, str) and fact)


def last_error(stored: StoredJob) -> str:
    """Return a job's last error. If its workers' deaths made the job fail, the text says so."""
    history = entries(stored.state.history)
    if not history:
        return ""
    text = history[-1].error or history[-1].cause
    if stored.status == "failed" and history[-1].cause == "crash":
        return crash_error(stored.state.crashes, text)
    return text


def progress(report: JobProgress) -> str:
    """What a job reports: `89 of 400, step 89`."""
    total = f" of {report.total}" if report.total else ""
    return f"{report.done}{total}{f', {report.note}' if report.note else ''}"


def attempts(stored: StoredJob, maximum: int | None) -> tuple[str, str]:
    """Return a title and a text: the attempt that is running or comes next, counted from 1, or how
    many attempts a failed job has used. `maximum`: the job's maximum, None if it is unknown."""
    used, of_maximum = stored.state.attempt, f"of {'?' if maximum is None else maximum}"
    if stored.status == "failed" or stored.state.failing:
        return "attempts", f"{used} {of_maximum} used"
    return ("attempt" if stored.status == "running" else "next attempt"), f"{used + 1} {of_maximum}"


# unique keys


_UNTIL = {"end": "until its end", "start": "until its start", "time": "for a time"}


def unique_key(stored: StoredJob) -> str:
    """Return the job's unique key and how long the job has it. If another job has the key now, the
    text names that job. Returns "" for a job without a key."""
    unique = stored.unique
    if unique is None:
        return ""
    now = f"; job {stored.holder} has it now" if stored.holder not in ("", stored.id) else ""
    return f"{unique.key}, {_UNTIL[unique.until]}{now}"


def why_not_retried(stored: StoredJob | None) -> str:
    """If its unique key prevents the retry of a failed job, say so, as the end of a sentence about
    the job. Returns "" if the key does not prevent it."""
    if stored is None or stored.unique is None or stored.status != "failed":
        return ""
    if stored.holder in ("", stored.id) or stored.unique.until == "time":
        return ""
    return f"stays failed, because job {stored.holder} has its unique key {stored.unique.key}"
