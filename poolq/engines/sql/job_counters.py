"""Counters per queue, which count since the namespace was created.

Each worker has its own rows, so that workers do not contend for them. When a worker is recovered,
its rows are added to those of NO_WORKER.

PostgreSQL would keep all versions of a row that each step changes. There, each step appends a row,
and `Folding` adds them up.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from time import monotonic

from poolq.engines.base import Totals
from poolq.engines.sanitize import number, to_text, total
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    Session,
    Transaction,
    in_chunks,
)

COUNTER_NAMES = (
    "done", "failed", "retried", "limited", "parked", "crashed", "cancelled", "discarded",
    "snoozed", "skipped", "replaced", "expired",
)  # fmt: skip
#: Counters stop here, which leaves room for what one transaction adds.
MAX_TOTAL = 2**62
NO_WORKER = ""

_NAMES = ", ".join(COUNTER_NAMES)
#: The sums of all counters, in the order of COUNTER_NAMES.
SUMS = ", ".join(f"SUM({name})" for name in COUNTER_NAMES)

ADD_COUNTERS = f"""INSERT INTO {{counters}} (worker, queue, {_NAMES})
    VALUES (?, ?{", ?" * len(COUNTER_NAMES)}) {{on:worker, queue}}
    """ + ", ".join(
    f"{name} = {{least}}({{counters}}.{name}, {MAX_TOTAL}) + {{new:{name}}}"
    for name in COUNTER_NAMES
)
APPEND_COUNTERS = f"INSERT INTO {{added}} (queue, {_NAMES}) VALUES (?{', ?' * len(COUNTER_NAMES)})"
#: How many rows one transaction adds up.
MAX_FOLDED = 5000
#: Seconds after which no transaction that has appended a row can be open any more.
LONGEST_TRANSACTION = 20.0
APPENDED = f"""SELECT id, queue, {_NAMES} FROM {{added}} WHERE id > ? ORDER BY id
    LIMIT {MAX_FOLDED} {{skip}}"""
DELETE_APPENDED = "DELETE FROM {added} WHERE id {in_list}"
WORKER_COUNTERS = f"SELECT queue, {_NAMES} FROM {{counters}} WHERE worker = ?"
DELETE_WORKER_COUNTERS = "DELETE FROM {counters} WHERE worker = ?"
QUEUE_TOTALS = (
    f"SELECT queue, {SUMS} FROM {{counters}} WHERE {{ordering:queue}} {{in_list}} GROUP BY queue"
)


class CounterIncrements:
    """What a transaction adds to the counters of one worker."""

    def __init__(self, worker: str = NO_WORKER) -> None:
        self.worker = worker
        self.counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(COUNTER_NAMES))

    def add(self, queue: str, name: str) -> None:
        self.counts[queue][COUNTER_NAMES.index(name)] += 1

    def add_rows(self, result: QueryResult) -> None:
        """Add the rows of WORKER_COUNTERS."""
        for queue, *counts in result.rows:
            sums = self.counts[to_text(queue)]
            sums[:] = [old + number(count) for old, count in zip(sums, counts, strict=True)]

    def add_many(self, counts: Mapping[str, int], name: str) -> None:
        """Add to one counter of some queues."""
        for queue, many in counts.items():
            self.counts[queue][COUNTER_NAMES.index(name)] += many

    def queries(self, appends: bool) -> list[Query | BatchQuery]:
        """Return the statements that add these counts. `appends`: see `Transaction`."""
        items = sorted(self.counts.items())
        if not items:
            return []
        if appends:
            return [BatchQuery(APPEND_COUNTERS, [(queue, *counts) for queue, counts in items])]
        return [
            BatchQuery(ADD_COUNTERS, [(self.worker, queue, *counts) for queue, counts in items])
        ]


def read_totals(result: QueryResult) -> Totals:
    """Return the counters by queue, from the rows of QUEUE_TOTALS."""
    return {
        to_text(queue): dict(zip(COUNTER_NAMES, map(total, counts), strict=True))
        for queue, *counts in result.rows
    }


class Folding:
    """Adds up the counters that steps have appended. Each round begins after the last row that was
    added up some time ago. No transaction lasts as long as that, so no rows to add are before it,
    only old versions that are kept for a snapshot. `_ends`: when each round was, and its highest
    id."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, int]] = []
        self._after = 0

    def fold(self, session: Session) -> None:
        """Add up all rows."""
        many = MAX_FOLDED
        while many >= MAX_FOLDED:
            ids = session.transact(self._take)
            self._note(ids)
            many = len(ids)

    def _take(self, tx: Transaction) -> list[int]:
        """Add up some rows. Returns their ids."""
        (answer,) = tx.run(Query(APPENDED, (self._after,)))
        ids = [row[0] for row in answer.rows]
        if ids:
            sums = CounterIncrements()
            sums.add_rows(QueryResult([row[1:] for row in answer.rows], 0))
            tx.later(*(Query(DELETE_APPENDED, (chunk,)) for chunk in in_chunks(ids)))
            tx.later(*sums.queries(appends=False))
        return ids

    def _note(self, ids: Sequence[int]) -> None:
        """Note that these rows are added up."""
        now = monotonic()
        self._ends.append((now, max(ids, default=0)))
        while self._ends and self._ends[0][0] < now - LONGEST_TRANSACTION:
            self._after = max(self._after, self._ends.pop(0)[1])
