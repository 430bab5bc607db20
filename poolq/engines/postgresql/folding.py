"""Adds up the counters that steps have appended.

Each step appends a row, because PostgreSQL would keep all versions of a row that each step changes.
Whoever adds them up begins after the last row that was added up some time ago. No transaction lasts
for as long, so there is nothing before that row; only versions that are kept for a snapshot.
"""

from time import monotonic

from poolq.engines.sql.job_counters import COUNTER_NAMES, CounterIncrements
from poolq.engines.sql.session import Query, QueryResult, Session, Transaction

#: How many rows one transaction adds up.
MAX_ROWS = 5000
#: Seconds after which no transaction that has appended a row can be open any more.
LONGEST_TRANSACTION = 20.0

TAKE_ROWS = f"""DELETE FROM {{added}} WHERE id = ANY(ARRAY(SELECT id FROM {{added}} WHERE id > ?
    ORDER BY id LIMIT {MAX_ROWS} {{skip}})) RETURNING id, queue, {", ".join(COUNTER_NAMES)}"""


class Folding:
    """`_ends`: the highest id of each round, and when it was."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, int]] = []
        self._after = 0

    def fold(self, session: Session) -> None:
        """Add up all rows."""
        while session.transact(self._take) >= MAX_ROWS:
            pass

    def _take(self, tx: Transaction) -> int:
        (found,) = tx.run(Query(TAKE_ROWS, (self._after,)))
        if found.rows:
            sums = CounterIncrements()
            sums.add_rows(QueryResult([row[1:] for row in found.rows], 0))
            tx.later(*sums.queries(appends=False))
            self._note(max(row[0] for row in found.rows))
        return len(found.rows)

    def _note(self, last: int) -> None:
        now = monotonic()
        self._ends.append((now, last))
        while self._ends and self._ends[0][0] < now - LONGEST_TRANSACTION:
            self._after = max(self._after, self._ends.pop(0)[1])
