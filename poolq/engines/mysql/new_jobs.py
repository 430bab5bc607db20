"""The statements that store new jobs on MySQL and MariaDB: how they begin, and their rows.

A unique job and its key are stored by one transaction, which is sent as a whole. If somebody has
the key, the transaction is left open.
"""

from collections.abc import Sequence

from poolq.engines.mysql.literals import quoted
from poolq.jobs.message import Push

INSERT_JOBS = """INSERT INTO {jobs} (id, place, queue, due_at, history, body, expires_at, ties)
    VALUES """
INSERT_KEYS = "INSERT INTO {unique_keys} (name, id, ends) VALUES "


def job_rows(pushes: Sequence[Push], now: bytes) -> list[bytes]:
    """Return the rows of INSERT_JOBS. `now`: the server's clock as SQL."""
    queues = {queue: quoted(queue.encode()) for queue in {push.queue for push in pushes}}
    rows: list[bytes] = []
    for id_, queue, body, delay, at, expires, unique, _ in pushes:
        place, due = _place_and_due(now, delay, at) if delay or at else (b"''", now)
        ends = b"%b + %d" % (due, expires) if expires else b"NULL"
        ties = b"_binary" + quoted(unique.stored) if unique else b"NULL"
        values = quoted(id_.encode()), place, queues[queue], due, quoted(body), ends, ties
        rows.append(b"(%b,%b,%b,%b,'',_binary%b,%b,%b)" % values)
    return rows


def key_rows(pushes: Sequence[Push], now: bytes) -> list[bytes]:
    """Return the rows of INSERT_KEYS of unique jobs, sorted by key as everywhere."""
    rows: list[bytes] = []
    for key, id_, lasts in sorted(
        (one.unique.key, one.id, one.unique.lasts) for one in pushes if one.unique
    ):
        ends = b"%b + %d" % (now, lasts) if lasts else b"0"
        rows.append(b"(%b,%b,%b)" % (quoted(key.encode()), quoted(id_.encode()), ends))
    return rows


def _place_and_due(now: bytes, delay: int, at: int) -> tuple[bytes, bytes]:
    """Return where a new job is stored and when it is due. A due time in the past becomes now."""
    if at:
        return b"IF(%d > %b, 'd', '')" % (at, now), b"GREATEST(%d, %b)" % (at, now)
    return (b"'d'", b"%b + %d" % (now, delay)) if delay > 0 else (b"''", now)
