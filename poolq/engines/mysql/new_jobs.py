"""The statements that store new jobs on MySQL and MariaDB: how they begin, and their rows.

A unique job and its key are stored by one transaction, which is sent as a whole. MariaDB can run it
as a single statement, and so answers once; but then it takes longer to parse, so this is only done
for few jobs. If somebody has the key, the transaction is left open.
"""

from collections.abc import Sequence

from poolq.engines.mysql.literals import quoted
from poolq.jobs.ties import TiedPush

INSERT_JOBS = "INSERT INTO {jobs} (id, place, queue, due_at, history, body) VALUES "
INSERT_EXPIRING = INSERT_JOBS.replace("body)", "body, expires_at)")
INSERT_UNIQUE = INSERT_JOBS.replace("body)", "body, expires_at, ties)")
INSERT_KEYS = "INSERT INTO {unique_keys} (name, id, ends) VALUES "
#: Templates of a transaction with an INSERT_KEYS and an INSERT_UNIQUE.
STORE_UNIQUE = b"BEGIN;%b;%b;COMMIT"
STORE_UNIQUE_AT_ONCE = b"BEGIN NOT ATOMIC START TRANSACTION;%b;%b;COMMIT;END"
#: For how many jobs at most.
MAX_AT_ONCE = 20


def unique_rows(pushes: Sequence[TiedPush], now: bytes) -> tuple[bytes, bytes]:
    """Return the rows of INSERT_KEYS, sorted by key as everywhere, and those of INSERT_UNIQUE.
    `now`: the server's clock as SQL."""
    keys: list[tuple[str, bytes]] = []
    jobs: list[bytes] = []
    queues: dict[str, bytes] = {}
    for (id_, queue, body, delay, at, expires), right in pushes:
        if right is not None:
            id_literal, on = quoted(id_.encode()), queues.get(queue)
            if on is None:
                on = queues[queue] = quoted(queue.encode())
            ends = b"%b + %d" % (now, right.lasts) if right.lasts else b"0"
            keys.append((right.key, b"(%b,%b,%b)" % (quoted(right.key.encode()), id_literal, ends)))
            place, due = place_and_due(now, delay, at) if delay or at else (b"''", now)
            until = b"%b + %d" % (due, expires) if expires else b"NULL"
            row = id_literal, place, on, due, quoted(body), until, quoted(right.ties)
            jobs.append(b"(%b,%b,%b,%b,'',_binary%b,%b,_binary%b)" % row)
    keys.sort()
    return b",".join([row for _, row in keys]), b",".join(jobs)


def place_and_due(now: bytes, delay: int, at: int) -> tuple[bytes, bytes]:
    """Return where a new job is stored and when it is due. A due time in the past becomes now."""
    if at:
        return b"IF(%d > %b, 'd', '')" % (at, now), b"GREATEST(%d, %b)" % (at, now)
    return (b"'d'", b"%b + %d" % (now, delay)) if delay > 0 else (b"''", now)
