"""Finds the names of the queues that have jobs, by skipping from one to the next in an index.

SQLite does so in a single recursive statement. MySQL and MariaDB use an index range only if its
start is known when they plan the statement. On these servers, the first page reads a limited number
of rows. After that, each hop to the next name is a statement of its own, which starts after the
name that the previous hop has stored in a variable. Many hops are sent at once.
"""

from typing import NamedTuple, Protocol

from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.engines.sql.session import Query, QueryResult

#: At most how many queues a recursive statement finds, and how many hops are sent at once.
MAX_QUEUES_PER_PAGE, MAX_HOPS = 500, 100
#: How many rows the first page reads. If there are fewer jobs, it finds all queues.
FIRST_ROWS = 64

FAILED_PLACE = "failed"
_NEXT = """SELECT j.queue FROM {jobs} j {turn} WHERE j.place = '%s' AND j.queue > %s
    ORDER BY j.place, j.queue LIMIT 1"""
_NEXT_FAILED = "SELECT f.queue FROM {failed} f WHERE f.queue > %s ORDER BY f.queue LIMIT 1"
_DUE = """(SELECT j.due_at FROM {jobs} j WHERE j.place = 'd' AND j.queue = s.queue
    ORDER BY j.place, j.queue, j.due_at LIMIT 1)"""


def next_after(place: str, name: str) -> str:
    """Return SQL for the first queue after that name that has jobs in this place."""
    return _NEXT_FAILED % name if place == FAILED_PLACE else _NEXT % (place, name)


def _skip_scan(place: str) -> str:
    due = _DUE if place == DELAYED else "0"
    return f"""WITH RECURSIVE s (n, queue) AS (SELECT 1, ({next_after(place, "?")})
        UNION ALL SELECT s.n + 1, ({next_after(place, "s.queue")}) FROM s
        WHERE s.queue IS NOT NULL AND s.n < {MAX_QUEUES_PER_PAGE})
        SELECT queue, {due} FROM s WHERE queue IS NOT NULL"""


def _hop(place: str, at: int) -> str:
    text = next_after(place, f"@q{at - 1}")
    if place == FAILED_PLACE:
        return text.replace("f.queue FROM", f"f.queue, 0 INTO @q{at}, @d{at} FROM", 1)
    text = text.replace("j.queue FROM", f"j.queue, j.due_at INTO @q{at}, @d{at} FROM", 1)
    return text.replace("j.queue LIMIT", "j.queue, j.due_at LIMIT")


def _first_page(place: str) -> str:
    if place == FAILED_PLACE:
        source, order, due = "{failed} f WHERE", "f.queue", "0"
    else:
        source = f"{{jobs}} f {{turn}} WHERE f.place = '{place}' AND"
        order, due = "f.place, f.queue, f.due_at", "f.due_at"
    return f"""SELECT queue, MIN(due), COUNT(*) FROM
        (SELECT f.queue, {due} AS due FROM {source} f.queue > ?
        ORDER BY {order} LIMIT {FIRST_ROWS}) found GROUP BY queue ORDER BY queue"""


SCANNED_PLACES = (QUEUED, DELAYED, FAILED_PLACE)
SKIP_SCANS = {place: _skip_scan(place) for place in SCANNED_PLACES}
FIRST_PAGES = {place: _first_page(place) for place in SCANNED_PLACES}
HOP_CHAINS = {place: [_hop(place, at) for at in range(1, MAX_HOPS + 1)] for place in SCANNED_PLACES}


class QueryRunner(Protocol):
    """A session's `read`, or a transaction's `run`."""

    def __call__(self, *queries: Query) -> list[QueryResult]: ...


class QueuePage(NamedTuple):
    """A request for some of the queues whose names follow `after`. `skips`: see `Session`. `hops`:
    the number of hops to make; 0 for the first page. `after` is not decoded, because a name that is
    not UTF-8 might sort differently once decoded, and the scan would never end."""

    skips: bool
    place: str
    after: str | bytes = ""
    hops: int = 0

    def queries(self) -> list[Query]:
        if self.skips:
            return [Query(SKIP_SCANS[self.place], (self.after,))]
        if not self.hops:
            return [Query(FIRST_PAGES[self.place], (self.after,))]
        names = range(1, self.hops + 1)
        reset = "SET @q0 = ?, " + ", ".join(f"@q{at} = NULL, @d{at} = NULL" for at in names)
        answer = "SELECT " + ", ".join(f"@q{at}, @d{at}" for at in names)
        hops = [Query(one) for one in HOP_CHAINS[self.place][: self.hops]]
        after = self.after if isinstance(self.after, bytes) else self.after.encode()
        return [Query(reset, (after,)), *hops, Query(answer)]

    def read(self, answers: list[QueryResult]) -> "FoundQueues":
        """Return the queues in the answers to `queries`."""
        rows = answers[-1].rows
        more = self.skips and len(rows) == MAX_QUEUES_PER_PAGE
        if not self.skips and not self.hops:
            more = sum(count for *_, count in rows) == FIRST_ROWS
        elif not self.skips:
            pairs = zip(rows[0][::2], rows[0][1::2], strict=True)
            rows = [pair for pair in pairs if pair[0] is not None]
            more = len(rows) == self.hops
        names = [(to_text(name), number(due)) for name, due, *_ in rows]
        if not more:
            return FoundQueues(names, None)
        hops = min(MAX_HOPS, 8 * self.hops or 8)
        return FoundQueues(names, self._replace(after=rows[-1][0], hops=hops))


class FoundQueues(NamedTuple):
    """Queues with the due time of their first delayed job (or 0), and the next page, if any."""

    queues: list[tuple[str, int]]
    following: QueuePage | None


def run_pages(
    read: QueryRunner, queries: list[Query], pages: list[QueuePage]
) -> list[list[QueryResult]]:
    """Send all in one round trip. Returns the answers to each of the queries, then to each page."""
    asked = [[query] for query in queries] + [page.queries() for page in pages]
    found = read(*(query for some in asked for query in some))
    answers = []
    for some in asked:
        answers.append(found[: len(some)])
        found = found[len(some) :]
    return answers


def remaining_queues(
    read: QueryRunner, found: FoundQueues, enough: int = 0
) -> list[tuple[str, int]]:
    """Return the queues found and those of the next pages, until there are `enough` (0: all)."""
    queues, following = [*found.queues], found.following
    while following is not None and not 0 < enough <= len(queues):
        (answers,) = run_pages(read, [], [following])
        some, following = following.read(answers)
        queues += some
    return queues
