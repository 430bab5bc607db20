"""The statements that store new jobs on MySQL and MariaDB: how they begin, and their rows.

A unique job and its key are stored by one transaction, which is sent as a whole. For many jobs, the
time is computed once, in another statement. If somebody has the key, the transaction is left open.
"""

from poolq.engines.mysql.literals import escaped_all, quoted
from poolq.jobs.ties import UniquePushes, tie

INSERT_JOBS = "INSERT INTO {jobs} (id, place, queue, due_at, history, body) VALUES "
INSERT_EXPIRING = INSERT_JOBS.replace("body)", "body, expires_at)")
INSERT_UNIQUE = INSERT_JOBS.replace("body)", "body, ties)")
INSERT_UNIQUE_EXPIRING = INSERT_JOBS.replace("body)", "body, ties, expires_at)")
INSERT_KEYS = "INSERT INTO {unique_keys} (name, id, ends) VALUES "
#: For how many jobs at most the time is computed for each.
FEW = 20
#: Many jobs have the variable NOW as their time.
SET_NOW, NOW = b"SET @poolq_now = ", b"@poolq_now"


def unique_row(jobs: UniquePushes, now: bytes) -> tuple[bytes, bytes]:
    """As `unique_rows`, for a single job, in half of the time."""
    ((id_, queue, body, delay, at, expires),), (key,), until, lasts, _ = jobs
    name = quoted(id_.encode())
    place, due = place_and_due(now, delay, at) if delay or at else (b"''", now)
    values = name, place, quoted(queue.encode()), due, quoted(body), quoted(tie(key, until))
    row = b"(%b,%b,%b,%b,'',_binary%b,_binary%b)" % values
    if expires:
        row = b"%b,%b + %d)" % (row[:-1], due, expires)
    ends = b"%b + %d" % (now, lasts) if lasts else b"0"
    return b"(%b,%b,%b)" % (quoted(key.encode()), name, ends), row


def unique_rows(jobs: UniquePushes, now: bytes, expire: bool) -> tuple[bytes, bytes]:
    """Return the rows of INSERT_KEYS, sorted by key as everywhere, and those of INSERT_UNIQUE, or
    of INSERT_UNIQUE_EXPIRING if some jobs `expire`. `now`: the server's clock as SQL."""
    pushes = jobs.pushes
    ids = escaped_all([push.id.encode() for push in pushes])
    bodies = escaped_all([push.body for push in pushes])
    ties = escaped_all(jobs.ties)
    names = escaped_all([key.encode() for key in jobs.keys])
    ends = b"%b + %d" % (now, jobs.lasts) if jobs.lasts else b"0"
    keys = [b"('%b','%b',%b)" % (name, id_, ends) for name, id_ in zip(names, ids, strict=True)]
    order = sorted(range(len(keys)), key=jobs.keys.__getitem__)
    queues = {queue: quoted(queue.encode()) for queue in {push.queue for push in pushes}}
    rows: list[bytes] = []
    for push, id_, body, right in zip(pushes, ids, bodies, ties, strict=True):
        _, queue, _, delay, at, expires = push
        place, due = place_and_due(now, delay, at) if delay or at else (b"''", now)
        values = id_, place, queues[queue], due, body, right
        row = b"('%b',%b,%b,%b,'',_binary'%b',_binary'%b')" % values
        if expire:
            row = b"%b,%b)" % (row[:-1], b"%b + %d" % (due, expires) if expires else b"NULL")
        rows.append(row)
    return b",".join([keys[index] for index in order]), b",".join(rows)


def place_and_due(now: bytes, delay: int, at: int) -> tuple[bytes, bytes]:
    """Return where a new job is stored and when it is due. A due time in the past becomes now."""
    if at:
        return b"IF(%d > %b, 'd', '')" % (at, now), b"GREATEST(%d, %b)" % (at, now)
    return (b"'d'", b"%b + %d" % (now, delay)) if delay > 0 else (b"''", now)
