"""Finds the names of the queues that have jobs or lines, by skipping from name to name in an index.

SQLite and PostgreSQL do so in a single recursive statement. MySQL and MariaDB use an index range
only if its start is known when they plan the statement. On these servers, the first page reads a
limited number of rows. After that, each hop to the next name is a statement of its own, which
starts after the name that the previous hop has stored in a variable. Many hops are sent at once.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import DELAYED, QUEUED, RETURNED
from poolq.engines.sql.session import Query, QueryResult

#: MAX_QUEUES_PER_PAGE: how many queues a recursive statement finds at most. MAX_HOPS: how many hops
#: are sent at once.
MAX_QUEUES_PER_PAGE, MAX_HOPS = 500, 100
#: How many rows the first page reads. If there are fewer jobs, it finds all queues.
FIRST_ROWS = 64

FAILED, LINES = "failed", "lines"


class _Source(NamedTuple):
    """The SQL of rows `f`, each of which has a queue. `rows`: the text before a condition on the
    queue. `due`: the column of the due time. `order`: the columns before `due` in the index, of
    which `queue` is the last."""

    rows: str
    due: str
    order: str
    queue: str = "f.queue"


_SOURCES = {
    **{
        place: _Source(
            f"{{jobs}} f {{turn}} WHERE f.place = '{place}' AND", "f.due_at", "f.place, f.queue"
        )
        for place in (QUEUED, RETURNED, DELAYED)
    },
    LINES: _Source(
        "{lines} f {line:slot} WHERE", "f.slot", "{ordering:f.queue}", "{ordering:f.queue}"
    ),
    FAILED: _Source("{failed} f WHERE", "f.at", "f.queue"),
}


def next_after(place: str, name: str, columns: str = "f.queue") -> str:
    """Return SQL for the first queue after that name that has rows in this place."""
    rows, due, order, queue = _SOURCES[place]
    return f"SELECT {columns} FROM {rows} {queue} > {name} ORDER BY {order}, {due} LIMIT 1"


def first_due(place: str, queue: str, since: str = "") -> str:
    """Return SQL for the first due time of a queue in this place, but none before `since`."""
    rows, due, order, column = _SOURCES[place]
    later = f" AND {due} >= {since}" if since else ""
    return f"(SELECT {due} FROM {rows} {column} = {queue}{later} ORDER BY {order}, {due} LIMIT 1)"


def _skip_scan(place: str) -> str:
    return f"""WITH RECURSIVE s (n, queue) AS (SELECT 1, ({next_after(place, "?")})
        UNION ALL SELECT s.n + 1, ({next_after(place, "s.queue")}) FROM s
        WHERE s.queue IS NOT NULL AND s.n < {MAX_QUEUES_PER_PAGE})
        SELECT queue, {first_due(place, "s.queue")} FROM s WHERE queue IS NOT NULL"""


def _hop(place: str, at: int) -> str:
    return next_after(place, f"@q{at - 1}", f"f.queue, {_SOURCES[place].due} INTO @q{at}, @d{at}")


def _first_page(place: str) -> str:
    rows, due, order, column = _SOURCES[place]
    return f"""SELECT queue, MIN(due), COUNT(*) FROM (SELECT f.queue, {due} AS due FROM {rows}
        {column} > ? ORDER BY {order}, {due} LIMIT {FIRST_ROWS}) found
        GROUP BY queue ORDER BY queue"""


SKIP_SCANS = {place: _skip_scan(place) for place in _SOURCES}
FIRST_PAGES = {place: _first_page(place) for place in _SOURCES}
HOP_CHAINS = {place: [_hop(place, at) for at in range(1, MAX_HOPS + 1)] for place in _SOURCES}


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

    def read(self, answers: Sequence[QueryResult]) -> "FoundQueues":
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
    """Queues with their first due times (0 if it is NULL), and the next page, if any."""

    queues: list[tuple[str, int]]
    following: QueuePage | None


class Scan(NamedTuple):
    """Queues with their first due times. `end`: if there may be more, the name of the last one."""

    queues: list[tuple[str, int]]
    end: str | bytes = ""


def scan(
    read: QueryRunner,
    places: Sequence[str],
    skips: bool,
    *queries: Query,
    after: str | bytes = "",
    enough: int = 0,
) -> tuple[list[QueryResult], list[Scan]]:
    """Run `queries`. For each place, find the queues that have rows there and whose names follow
    `after`, until there are `enough` (0: all). Each round trip reads a page of each place."""
    pages = dict(enumerate(QueuePage(skips, place, after) for place in places))
    first: list[QueryResult] = []
    found: list[list[tuple[str, int]]] = [[] for _ in places]
    while pages:
        asked = [page.queries() for page in pages.values()]
        answers = read(*queries, *(query for some in asked for query in some))
        if queries:
            first, answers, queries = answers[: len(queries)], answers[len(queries) :], ()
        for (at, page), some in zip(list(pages.items()), asked, strict=True):
            names, following = page.read(answers[: len(some)])
            answers = answers[len(some) :]
            found[at] += names
            if following is None:
                del pages[at]
            else:
                pages[at] = following
        if enough and all(len(found[at]) >= enough for at in pages):
            break
    return first, [
        Scan(names, pages[at].after if at in pages else "") for at, names in enumerate(found)
    ]
