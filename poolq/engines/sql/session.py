"""What the SQL engines share of talking to a database: statements as values, and who runs them.

Statements are templates. `{jobs}` and its kin stand for this namespace's tables, `{now}` for the
server's clock in microseconds, and the rest of what differs between the servers has a name in
`Dialect`. Arguments stand for `?`; a list stands for `{list}` (never an empty one).

A transaction is written down before it is sent: what only changes something waits (`later`)
until something must be read (`run`) or the end, so that a server far away is asked seldom.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]

#: Statements with a list are cut to this many values: MariaDB plans longer ones in another way.
MAX_LIST_VALUES = 500


class Query(NamedTuple):
    """One statement."""

    sql: str
    args: Sequence[object] = ()


class BatchQuery(NamedTuple):
    """One statement for each of the rows; answers with the sum of its counts."""

    sql: str
    rows: Sequence[Sequence[object]]


class QueryResult(NamedTuple):
    """The rows that came back, or how many were changed."""

    rows: Sequence[Row]
    changed: int


class Transaction(ABC):
    """A transaction in the making."""

    def __init__(self) -> None:
        self.waiting: list[Query | BatchQuery] = []

    def later(self, *queries: Query | BatchQuery) -> None:
        """Run these before the next ones that are run, or before the end."""
        self.waiting += queries

    def run(self, *queries: Query | BatchQuery) -> list[QueryResult]:
        """What waits, then these, whose results come back."""
        ready, self.waiting = [*self.waiting, *queries], []
        return self.send(ready)[len(ready) - len(queries) :]

    def one(self, sql: str, *args: object) -> Row | None:
        """The first row of a single statement."""
        rows = self.run(Query(sql, args))[0].rows
        return rows[0] if rows else None

    @abstractmethod
    def send(self, queries: Sequence[Query | BatchQuery]) -> list[QueryResult]:
        """Run them in order, in as few round trips as can be."""

    @abstractmethod
    def claim_updates(
        self, place: str, request: int, first: int, ids: Sequence[str], now: int
    ) -> list[Query | BatchQuery]:
        """Make these the claims `first`, `first` + 1 and so on of a request; those that have a
        slot at `now` are admitted."""


class Session(ABC):
    """A thread's connection to the database, as the shared logic sees it. Rows are counted up
    to `counted`, in some 30 ms. `limits_deletes`: a DELETE may have ORDER BY and LIMIT;
    `skips`: see `skip_scan.py`."""

    counted: int
    limits_deletes: bool
    skips: bool

    @abstractmethod
    def transact(self, work: Callable[[Transaction], T], gives_way: bool = False) -> T:
        """Run `work` in one transaction, which is repeated where the server says so. `gives_way`:
        where writers wait in line, it waits behind those that do not."""

    def guess(self, asks: Sequence[Query]) -> list[int]:
        """About how many rows each of these SELECTs has, 0 where nothing is known."""
        return [0] * len(asks)

    @abstractmethod
    def read(self, *queries: Query) -> list[QueryResult]:
        """Statements that each stand for themselves, sent together."""


class TemplateToken:
    """A token that takes an argument: `{new:column}`."""

    def __init__(self, render: Callable[[str], str]) -> None:
        self._render = render

    def __format__(self, spec: str, /) -> str:
        return self._render(spec)


class Dialect(NamedTuple):
    """How a server says it.

    `lock` ends a SELECT whose rows are to be held; `skip` one that passes over rows which others
    hold; `turn` names the index that claims are made by, `by_id` the one of ids, `{line:name}` one
    of the lines'; `least` is min(a, b); `list` what an IN takes; `claims` all claims as one text,
    "<id> <request> <idx>" with commas between; `counted` is the session's. `{on:key}` begins the
    part of an INSERT for rows that exist; `{new:column}` is what would have been inserted.
    """

    now: str
    lock: str
    skip: str
    turn: str
    by_id: str
    line: TemplateToken
    least: str
    list: str
    claims: str
    counted: int
    on: TemplateToken
    new: TemplateToken


TABLES = (
    "jobs",
    "failed",
    "queues",
    "workers",
    "nodes",
    "windows",
    "lines",
    "counters",
    "schema",
)


class RenderedSQL(dict[str, str]):
    """Statements by their templates, each put together once."""

    def __init__(self, dialect: Dialect, namespace: str) -> None:
        super().__init__()
        self.tokens: dict[str, Any] = dialect._asdict()
        self.tokens.update({table: f"{namespace}_{table}" for table in TABLES})

    def __missing__(self, template: str) -> str:
        text = self[template] = " ".join(template.format_map(self.tokens).split())
        return text


def in_chunks(values: Sequence[T], size: int = MAX_LIST_VALUES) -> list[Sequence[T]]:
    """Pieces of at most `size`."""
    return [values[at : at + size] for at in range(0, len(values), size)]
