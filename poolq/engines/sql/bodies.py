"""The bodies of the jobs that a step claims: small ones come with the claim, for others it is first
asked how big they are, so that no step reads, or sends over the line, much more than CLAIM_BYTES.
"""

from collections.abc import Sequence
from typing import Any

from poolq.engines.base import CLAIM_BYTES
from poolq.engines.sanitize import blob, number
from poolq.engines.sql.session import Query, Row, Transaction, in_chunks

#: Bytes of a body that comes with the claim: as many of these as are ever claimed at once do fit.
SMALL_BYTES = CLAIM_BYTES // 512
#: In a claim's statement; NULL for a longer one.
SMALL_BODY = f"CASE WHEN LENGTH(body) <= {SMALL_BYTES} THEN body END"

BODY_SIZES = "SELECT id, LENGTH(body) FROM {jobs} {by_id} WHERE id IN {list}"
READ_BODIES = "SELECT id, body FROM {jobs} {by_id} WHERE id IN {list}"


def fit(tx: Transaction, rows: Sequence[Row], room: int) -> tuple[Sequence[Row], int]:
    """Of rows that begin with id and BODY those to be claimed, with their bodies, and how much
    room these leave; less than 0 says that there are to be no more."""
    try:
        left = room - sum([len(row[1]) for row in rows])
    except TypeError:  # of one that is not small there is no length
        left = -1
    return (rows, left) if left >= 0 else _cut(tx, rows, room)


def _cut(tx: Transaction, rows: Sequence[Row], room: int) -> tuple[Sequence[Row], int]:
    sizes = _ask(tx, BODY_SIZES, [row[0] for row in rows if row[1] is None])
    taken: list[Row] = []
    for row in rows:
        if room < 0:
            break
        taken.append(row)
        room -= number(sizes.get(row[0])) if row[1] is None else len(blob(row[1]))
    bodies = _ask(tx, READ_BODIES, [row[0] for row in taken if row[1] is None])
    return [(row[0], bodies.get(row[0], row[1]), *row[2:]) for row in taken], room


def _ask(tx: Transaction, sql: str, ids: Sequence[str]) -> dict[str, Any]:
    """What is asked of each job, by its id."""
    found = tx.run(*(Query(sql, (some,)) for some in in_chunks(ids)))
    return dict(row for one in found for row in one.rows)
