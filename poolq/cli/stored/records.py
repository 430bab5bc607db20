"""Stored jobs as plain data, for `--json` and for tables.

Times are ISO 8601 in UTC, durations are seconds. Scripts rely on the keys; docs/commands.md lists
them.
"""

from typing import Any

from poolq.engines.base import StoredJob
from poolq.engines.progress import JobProgress
from poolq.errors import BadMessage
from poolq.jobs.message import Entry, decode, entries, name_and_queue
from poolq.monitor.amounts import utc

FACTS = ("error", "attempt", "worker", "signal", "exit_code", "count", "traceback")


def entry(line: Entry) -> dict[str, object]:
    """Return an entry of the history, without the fields that do not apply to its cause."""
    facts = {name: getattr(line, name) for name in FACTS}
    return {
        "at": utc(line.at) if line.at else None,
        "cause": line.cause,
        **{name: value for name, value in facts.items() if value},
    }


def payload(body: bytes) -> tuple[Any, int | None]:
    """Return a message's payload and `attempts`, or the text of an unreadable message and None."""
    try:
        message = decode(body)
    except BadMessage:
        return body.decode("utf-8", "replace"), None
    return message.payload, message.attempts


def job(stored: StoredJob, progress: JobProgress | None = None) -> dict[str, Any]:
    """Return everything about one job. Its status decides whether the key of its time is `due`,
    `claimed` or `failed`. `progress`: what a running job has reported, if that is known."""
    found, attempts = payload(stored.body)
    when = {"running": "claimed", "failed": "failed"}.get(stored.status, "due")
    return {
        "id": stored.id,
        "status": stored.status,
        "queue": stored.queue,
        "job": name_and_queue(stored.body)[0],
        "payload": found,
        "attempt": stored.state.attempt,
        "attempts": attempts,
        "crashes": stored.state.crashes,
        "failing": bool(stored.state.failing),
        when: utc(stored.at),
        "expires": utc(stored.expires_at) if stored.expires_at else None,
        "worker": stored.worker or None,
        "unique": _unique(stored),
        "progress": progress,
        "history": [entry(line) for line in entries(stored.state.history)],
    }


def _unique(stored: StoredJob) -> dict[str, Any] | None:
    """Return the job's unique key. `holder` is the job that has it now; only `find` reads it."""
    unique = stored.unique
    if unique is None:
        return None
    return {"key": unique.key, "until": unique.until, "holder": stored.holder or None}
