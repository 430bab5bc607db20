"""Stores the jobs of a transaction that has been committed."""

import logging
from collections.abc import Sequence

from poolq.errors import EngineError, EngineUnavailable
from poolq.jobs.ids import JobId
from poolq.jobs.message import Push
from poolq.jobs.producer import store_now

log = logging.getLogger("poolq")
MAX_NAMED = 100  # ids in an error's text


def store_committed(pushes: Sequence[Push], later: Sequence[Push] = ()) -> list[JobId]:
    """Store these jobs in one push. Returns the ids, as `store_now` does. Logs who gives way to
    another job. Raises EngineError, whose text names the jobs, and those that would have been
    stored `later` if this had not failed. Of other errors, a note names them."""
    own = [push.id for push in pushes]
    try:
        holders = store_now(list(pushes))
    except EngineError as error:
        raise _named(error, own, [push.id for push in later]) from error
    except Exception as error:
        ids = listed([push.id for push in (*pushes, *later)])
        error.add_note(f"the transaction is committed, but not all of these jobs are stored: {ids}")
        raise
    for id_, holder in zip(own, holders, strict=True):
        if holder != id_:
            log.info("job %s gave way to job %s, which has its key", id_, holder)
    return holders


def _named(error: EngineError, own: Sequence[str], later: Sequence[str]) -> EngineError:
    """Return the error of a push after a commit, with the jobs that are missing."""
    committed = f"{error}; the transaction is committed, but"
    maybe_stored = isinstance(error, EngineUnavailable) and error.maybe_stored
    if not (error.ids or isinstance(error, EngineUnavailable)):
        return type(error)(
            f"{committed} not all of these jobs are stored: {listed([*own, *later])}"
        )
    ids, verb = [*(error.ids or own), *later], "may not be" if maybe_stored else "are not"
    text = f"{committed} these jobs {verb} stored: {listed(ids)}"
    if isinstance(error, EngineUnavailable):
        return type(error)(text, ids=ids, maybe_stored=maybe_stored)
    return type(error)(text, ids=ids)


def listed(ids: Sequence[str]) -> str:
    more = len(ids) - MAX_NAMED
    return ", ".join(ids[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
