"""What has happened since the namespace began: six numbers a queue.

Each worker adds to rows of its own, so that no row is everybody's; when it is forgotten they are
added to those of nobody.
"""

from collections import defaultdict

from poolq.engines.sanitize import number, to_text, total
from poolq.engines.sql.session import Many, Op, Result

NAMES = ("done", "failed", "retried", "limited", "parked", "crashed")
#: From there on nothing is counted: there is room for what one act adds.
FULL = 2**62
DONE = NAMES.index("done")
NOBODY = ""

ADD = """INSERT INTO {counters} (worker, queue, done, failed, retried, limited, parked, crashed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) {on:worker, queue}
    """ + ", ".join(f"{name} = {{least}}({name}, {FULL}) + {{new:{name}}}" for name in NAMES)
OF_WORKER = """SELECT queue, done, failed, retried, limited, parked, crashed
    FROM {counters} WHERE worker = ?"""
FORGET = "DELETE FROM {counters} WHERE worker = ?"
TOTALS = """SELECT queue, SUM(done), SUM(failed), SUM(retried), SUM(limited), SUM(parked),
    SUM(crashed) FROM {counters} WHERE queue IN {list} GROUP BY queue"""


class Tally:
    """What a transaction adds for one worker (or for nobody)."""

    def __init__(self, worker: str = NOBODY) -> None:
        self.worker = worker
        self.counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(NAMES))

    def add(self, queue: str, name: str) -> None:
        self.counts[queue][NAMES.index(name)] += 1

    def add_rows(self, found: Result) -> None:
        """Take over the rows of OF_WORKER."""
        for queue, *counts in found.rows:
            mine = self.counts[to_text(queue)]
            mine[:] = [one + number(more) for one, more in zip(mine, counts, strict=True)]

    def ops(self) -> list[Op | Many]:
        rows = [(self.worker, queue, *counts) for queue, counts in sorted(self.counts.items())]
        return [Many(ADD, rows)] if rows else []


def totals(found: Result) -> dict[str, dict[str, int]]:
    """The answer to TOTALS."""
    return {
        to_text(queue): dict(zip(NAMES, map(total, counts), strict=True))
        for queue, *counts in found.rows
    }
