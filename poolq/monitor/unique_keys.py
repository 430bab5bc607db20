"""Words for the unique key of a job (pure)."""

from poolq.engines.base import StoredJob

_UNTIL = {"end": "until its end", "start": "until its start", "time": "for a time"}


def text(stored: StoredJob) -> str:
    """Return the job's unique key, how long the job has it and, if another job has it now, which
    one; "" for a job without a key."""
    unique = stored.ties.unique
    if unique is None:
        return ""
    now = f"; job {stored.holder} has it now" if stored.holder not in ("", stored.id) else ""
    return f"{unique.key}, {_UNTIL[unique.until]}{now}"


def why_not_retried(stored: StoredJob | None) -> str:
    """Return why a failed job cannot be retried because of its key, as the end of a sentence about
    the job; "" if this is not the reason."""
    if stored is None or stored.ties.unique is None or stored.status != "failed":
        return ""
    if stored.holder in ("", stored.id) or stored.ties.unique.until == "time":
        return ""
    return f"stays failed, because job {stored.holder} has its unique key {stored.ties.unique.key}"
