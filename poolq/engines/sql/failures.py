"""Failed jobs: listed, tried again, forgotten."""

from collections.abc import Sequence

from poolq.engines import rows
from poolq.engines.base import Stored
from poolq.engines.rows import number, word
from poolq.engines.sql.session import Op, Row, Session, Transaction, cut
from poolq.engines.sql.waking import ring

FAILED_ROW = "SELECT id, queue, at, body, attempt, crashes, failing, history FROM {failed} "
FAILED_JOB = FAILED_ROW + "WHERE id = ?"
NEWEST = " ORDER BY at DESC, id DESC LIMIT ?"
FOUND = "SELECT id FROM {failed} WHERE id IN {list} {lock}"
RETRY = """INSERT INTO {jobs} (id, queue, due_at, history, body)
    SELECT id, queue, {now}, x'', body FROM {failed} WHERE id IN {list}"""
FORGET = "DELETE FROM {failed} WHERE id IN {list}"
QUEUES_OF = "SELECT DISTINCT queue FROM {failed} WHERE id IN {list}"


def stored_failed(row: Row) -> Stored:
    id_, queue, at, body, *state = row
    where = word(id_), word(queue), "failed", number(at)
    return Stored(*where, rows.blob(body), rows.state(state))


def failed(session: Session, queue: str | None, before: int | None, most: int) -> list[Stored]:
    where: list[str] = []
    args: list[object] = []
    if queue is not None:
        where.append("queue = ?")
        args.append(queue)
    if before is not None:
        where.append("at < ?")
        args.append(before)
    clause = f"WHERE {' AND '.join(where)}" if where else ""
    (found,) = session.read(Op(FAILED_ROW + clause + NEWEST, (*args, most)))
    return [stored_failed(row) for row in found.rows]


def retry(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """Failed jobs back to their queues, as if they were new."""
    there: set[str] = set()
    for some in cut(ids):
        found, queues = tx.run(Op(FOUND, (some,)), Op(QUEUES_OF, (some,)))
        mine = [id_ for (id_,) in found.rows]
        if mine:
            tx.later(Op(RETRY, (mine,)), Op(FORGET, (mine,)))
            ring(tx, [word(name) for (name,) in queues.rows])
        there.update(mine)
    return [id_ for id_ in dict.fromkeys(ids) if id_ in there]


def forget(tx: Transaction, ids: Sequence[str]) -> list[str]:
    there: set[str] = set()
    for some in cut(ids):
        (found,) = tx.run(Op(FOUND, (some,)))
        mine = [id_ for (id_,) in found.rows]
        if mine:
            tx.later(Op(FORGET, (mine,)))
        there.update(mine)
    return [id_ for id_ in dict.fromkeys(ids) if id_ in there]
