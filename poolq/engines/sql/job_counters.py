"""Counters per queue, which count since the namespace was created.

Each worker has its own rows, so that workers do not contend for them. When a worker is recovered,
its rows are added to those of NO_WORKER.
"""

from collections import defaultdict
from collections.abc import Mapping

from poolq.engines.base import Totals
from poolq.engines.sanitize import number, to_text, total
from poolq.engines.sql.session import BatchQuery, Query, QueryResult

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
#: Where counters are appended, keepers add them up each second.
APPEND_COUNTERS = f"INSERT INTO {{added}} (queue, {_NAMES}) VALUES (?{', ?' * len(COUNTER_NAMES)})"
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

    def add_rows(self, found: QueryResult) -> None:
        """Add the rows of WORKER_COUNTERS."""
        for queue, *counts in found.rows:
            mine = self.counts[to_text(queue)]
            mine[:] = [one + number(more) for one, more in zip(mine, counts, strict=True)]

    def add_many(self, counts: Mapping[str, int], name: str) -> None:
        """Add to one counter of some queues."""
        for queue, many in counts.items():
            self.counts[queue][COUNTER_NAMES.index(name)] += many

    def queries(self, appends: bool) -> list[Query | BatchQuery]:
        """Return what adds them. `appends`: see `Transaction`."""
        items = sorted(self.counts.items())
        if not items:
            return []
        if appends:
            return [BatchQuery(APPEND_COUNTERS, [(queue, *counts) for queue, counts in items])]
        return [BatchQuery(ADD_COUNTERS, [(self.worker, queue, *all_) for queue, all_ in items])]


def read_totals(found: QueryResult) -> Totals:
    """Return the counters by queue, from the rows of QUEUE_TOTALS."""
    return {
        to_text(queue): dict(zip(COUNTER_NAMES, map(total, counts), strict=True))
        for queue, *counts in found.rows
    }
