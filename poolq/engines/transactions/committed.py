"""Stores the jobs of a transaction that has been committed."""

import logging
from collections.abc import Sequence

from poolq.errors import EngineUnavailable
from poolq.jobs.message import Push
from poolq.jobs.producer import store_now

log = logging.getLogger("poolq")
MAX_NAMED = 100  # ids in an error's text


def store_committed(pushes: Sequence[Push]) -> None:
    """Store these jobs in one push. Logs who gives way to another job. Raises EngineUnavailable."""
    own = [push.id for push in pushes]
    try:
        holders = store_now(list(pushes))
    except EngineUnavailable as error:
        raise _named(error, error.ids or own) from error
    except Exception:
        log.exception("the transaction is committed, but not all of %s are stored", _listed(own))
        raise
    for id_, holder in zip(own, holders, strict=True):
        if holder != id_:
            log.info("job %s gave way to job %s, which has its key", id_, holder)


def _named(error: EngineUnavailable, ids: Sequence[str]) -> EngineUnavailable:
    text = f"{error}; the transaction is committed, but these jobs are not stored: {_listed(ids)}"
    if error.maybe_stored:
        text = text.replace("are not stored", "may not be stored")
    log.error("%s", text)
    return EngineUnavailable(text, ids=ids, maybe_stored=error.maybe_stored)


def _listed(ids: Sequence[str]) -> str:
    more = len(ids) - MAX_NAMED
    return ", ".join(ids[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
