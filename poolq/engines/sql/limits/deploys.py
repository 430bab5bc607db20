"""Decides which number counts if code of several deploys names a limit.

A deploy is the acceptance of a generation of a pool's code. Deploys are numbered in the order in
which the engine learns of them. So the newest deploy is the one accepted last, of whichever pool,
even if the clock has gone back. A line keeps the number that the newest code has named for its
limit, and the deploy of that code (`deploy`). A worker with newer code takes the line's head
without a slot and asks its code again; the line then keeps the number that this code names. Workers
with older code use the line's number. A job, too, keeps the deploy whose code has named its limits,
because only one of them is the limit of its line.

Nothing has to be marked or undone. If a worker dies, or its code does not name the line's limit,
other workers take the next head in the same way until newer code has named the limit.
"""

from collections.abc import Sequence

from poolq.engines.base import Claim
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.limits.granting import DEPLOY_COLUMN, LOCK_HEADS
from poolq.engines.sql.limits.parking import DELETE_LINE
from poolq.engines.sql.location import GATE_SLOT, line_of
from poolq.engines.sql.session import Query, Row, Transaction
from poolq.jobs.limits import Asked

#: Leaves an unused number between two deploys, for PUT_LAST.
NEW_DEPLOY = f"""UPDATE {{schema}} SET deploys =
    CASE WHEN deploys BETWEEN {{now}} AND {2**52} THEN deploys + 2 ELSE {{now}} END"""
LAST_DEPLOY = "SELECT deploys FROM {schema}"
SET_DEPLOY = "UPDATE {workers} SET deploy = ? WHERE worker = ?"
LOCK_OLD_LINE = """SELECT l.place FROM {lines} l {line:deploy}
    WHERE {ordering:l.queue} = ? AND l.deploy < ?
    AND COALESCE((SELECT q.paused FROM {queues} q WHERE q.queue = l.queue), 0) <> 1
    ORDER BY l.deploy, {ordering:l.place} LIMIT 1 {skip}"""
#: The line's `deploy` becomes one less than the worker's, so others take other lines' heads first.
PUT_LAST = "UPDATE {lines} SET deploy = ? WHERE place = ? AND queue = ?"
#: If a line's limit changes, the line is tried at once, because it may have free slots.
TRY_LINE = f"""UPDATE {{lines}} SET slot = {{now}}, since = {{now}} WHERE place = ? AND queue = ?
    AND deploy + 0 <= ? AND most <> ? AND slot + 0 > {{now}} AND slot + 0 < {GATE_SLOT}"""
NAME_LIMIT = """UPDATE {lines} SET most = ?, deploy = ?
    WHERE place = ? AND queue = ? AND deploy + 0 <= ?"""


def accept(tx: Transaction, worker: str, deploy: int) -> int:
    """See `Engine.accept`. The caller has locked the worker's row."""
    if not deploy:
        _, found = tx.run(Query(NEW_DEPLOY), Query(LAST_DEPLOY))
        deploy = number(found.rows[0][0])
    tx.later(Query(SET_DEPLOY, (deploy, worker)))
    return deploy


def take_head(tx: Transaction, queues: Sequence[str], deploy: int) -> tuple[str, Row] | None:
    """In these queues, take the head of a line whose limit was named by older code. Returns the
    line's queue, and the head as a row of CLAIM_READY."""
    for queue in queues:
        while True:
            (found,) = tx.send([Query(LOCK_OLD_LINE, (queue, deploy))])  # lines come before jobs
            if not found.rows:
                break
            line = to_text(found.rows[0][0]), queue
            (heads,) = tx.run(Query(LOCK_HEADS, (*line, 1)))
            if heads.rows:
                tx.later(Query(PUT_LAST, (deploy - 1, *line)))
                return queue, heads.rows[0][:DEPLOY_COLUMN]
            tx.run(Query(DELETE_LINE, line))
    return None


def name_limits(tx: Transaction, claim: Claim, rules: Sequence[Asked]) -> None:
    """Apply the limits that a claimed job names to the lines of its queue, except lines whose limit
    was named by newer code."""
    deploy, queue = claim.asks, claim.queue
    for place, most in sorted((line_of(rule), rule.limit) for rule in rules):  # as lines are locked
        tx.later(
            Query(TRY_LINE, (place, queue, deploy, most)),
            Query(NAME_LIMIT, (most, deploy, place, queue, deploy)),
        )
