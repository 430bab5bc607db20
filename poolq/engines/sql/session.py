"""How the SQL engines talk to a database: statements as values, transactions, sessions, dialects.

Statements are templates. `{jobs}` and the like are this namespace's tables, `{now}` is the server's
clock in microseconds, and `Dialect` names everything else that differs between servers. Arguments
replace `?`; `{in_list}` compares with a non-empty list, which is one argument.

A transaction collects its changes (`later`) and sends them with the next read (`run`) or at its
end, to save round trips. Changes of rows that must be locked last are sent at the end (`at_end`).
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from poolq.errors import EngineError
from poolq.jobs.message import Push

T = TypeVar("T")
Row = tuple[Any, ...]

#: A statement's list has at most this many values, because MariaDB plans longer ones differently.
MAX_LIST_VALUES = 500


class Query(NamedTuple):
    sql: str
    args: Sequence[object] = ()


class BatchQuery(NamedTuple):
    """One statement, run once for each row of arguments; `changed` is the sum over these runs."""

    sql: str
    rows: Sequence[Sequence[object]]


class QueryResult(NamedTuple):
    """The rows read, and how many rows were changed."""

    rows: Sequence[Row]
    changed: int


Answers = Sequence[QueryResult]


class Transaction(ABC):
    """An open transaction. `waiting`: the changes that `later` has collected. `appends`: whether it
    adds rows instead of changing one row in each step, of which the database keeps old versions.
    `locks_tables`: whether it needs `shut` and `enter`, as on PostgreSQL. `has_windows`: whether it
    may have locked windows of limits. From then on, it waits for no lines and for no other windows,
    but leaves those that another transaction has locked."""

    appends = False
    locks_tables = False
    has_windows = False

    def __init__(self) -> None:
        self.waiting: list[Query | BatchQuery] = []
        self.ending: list[Query | BatchQuery] = []

    def at_end(self, *queries: Query | BatchQuery) -> None:
        """Collect changes, to be sent at the end of the transaction, after all others."""
        self.ending += queries

    def later(self, *queries: Query | BatchQuery) -> None:
        """Collect changes, to be sent with the next `run` or at the end of the transaction."""
        self.waiting += queries

    def run(self, *queries: Query | BatchQuery) -> list[QueryResult]:
        """Run the collected changes, then `queries`. Returns the results of `queries`."""
        ready, self.waiting = [*self.waiting, *queries], []
        return self.send(ready)[len(ready) - len(queries) :]

    def one(self, sql: str, *args: object) -> Row | None:
        """Run a statement and return the first row of its result, or None."""
        rows = self.run(Query(sql, args))[0].rows
        return rows[0] if rows else None

    def last(self, query: Query) -> int:
        """Run the collected changes and `query`, the transaction's last statement. Returns how many
        rows it has changed."""
        return self.run(query)[0].changed

    @abstractmethod
    def send(self, queries: Sequence[Query | BatchQuery]) -> list[QueryResult]:
        """Run `queries` in order, in few round trips, without sending the collected changes."""

    def lock_free(self, sql: str, rows: Sequence[Sequence[object]]) -> list[bool | None]:
        """Lock a row for each of these arguments, but wait for nobody. `sql`: a SELECT that ends
        with `{skip}`. Returns False for a row that another transaction has locked, and None for one
        that does not exist."""
        plain = sql.replace("{skip}", "")
        found = self.run(*(Query(one, args) for args in rows for one in (sql, plain)))
        return [
            bool(mine.rows) if there.rows else None
            for mine, there in zip(found[::2], found[1::2], strict=True)
        ]

    def tell(self, queues: Sequence[str]) -> None:  # noqa: B027  # others look for themselves
        """Tell those who wait, once the transaction has ended, that these queues have jobs."""

    def unsynced(self) -> None:  # noqa: B027  # elsewhere, the engine's URL or the server decides
        """Let the commit not wait for the disk: nobody is harmed if the server loses the changes,
        all of them together, in a crash."""

    def shut(self, table: str) -> None:
        """Until the transaction ends, let no other write to this table or lock rows of it. On
        PostgreSQL, a transaction that has set something would overlook a row that another one is
        making, which has looked for it before. Elsewhere, an UPDATE waits for such a row."""
        if self.locks_tables:
            self.later(Query(f"LOCK TABLE {{{table}}} IN EXCLUSIVE MODE"))

    def enter(self, *tables: str) -> None:
        """Let nobody `shut` these tables until the transaction ends. If somebody has, he may wait
        for this transaction, which is repeated."""
        if self.locks_tables:
            lock = "LOCK TABLE {{{}}} IN ROW SHARE MODE NOWAIT"
            self.later(*(Query(lock.format(one)) for one in tables))

    @abstractmethod
    def claim_updates(
        self, place: str, request: int, first: int, ids: Sequence[str], now: int
    ) -> list[Query | BatchQuery]:
        """Return statements that mark these jobs as the claims of a request. The first job gets the
        index `first`. A job whose slot is reserved beyond `now` is marked as admitted."""

    def stop_clock(self) -> None:  # noqa: B027  # SQLite's clock is read once for a transaction
        """Compute the time once for all new jobs that follow, which a server does faster."""

    @abstractmethod
    def when(self, place: str, delay: int, at: int, expires: int) -> Row:
        """Return where a new job is, when it is due and when it expires, as values for statements.
        A due time in the past becomes now. A job that is due now is in `place`. `delay` and
        `expires` are microseconds, and `at` is microseconds since the epoch; 0 stands for none."""


class DuplicateKey(EngineError):
    """A row with this key is stored already."""


class Session(ABC):
    """A thread's connection to the database. `counted`: how many rows are counted at most, which
    takes some 30 ms. `skips`: whether a recursive statement can do a skip scan (`skip_scan.py`).
    `stored_bytes`: how many bytes of new jobs one transaction stores at most; one job may be
    bigger. `known_queues`: queues that certainly have rows."""

    counted: int
    skips: bool
    stored_bytes: int
    known_queues: set[str]

    def check_sizes(self, pushes: Sequence[Push]) -> None:  # noqa: B027  # SQLite has no limit
        """Raise EngineError for a job that is too big for the server."""

    def store_one(self, push: Push) -> bool:  # noqa: ARG002  # overrides use it
        """Store a job in a faster way than a transaction, if there is such a way for it. Returns
        whether it was stored. Raises DuplicateKey."""
        return False

    @abstractmethod
    def transact(self, work: Callable[[Transaction], T], gives_way: bool = False) -> T:
        """Run `work` in one transaction. After a deadlock, run it again in a new one. `gives_way`:
        if this database's writers wait in line, let writers without `gives_way` go first. Raises
        EngineError, DuplicateKey."""

    def change(self, *queries: Query) -> int:
        """Run these statements as a transaction, in one round trip. Returns how many rows the last
        one has changed."""

        def work(tx: Transaction) -> int:
            tx.later(*queries[:-1])
            return tx.last(queries[-1])

        return self.transact(work, gives_way=True)

    def estimate(self, queries: Sequence[Query]) -> list[int]:
        """Estimate how many rows each of these SELECTs returns. 0 stands for unknown."""
        return [0] * len(queries)

    @abstractmethod
    def read(self, *queries: Query) -> list[QueryResult]:
        """Run independent statements in one round trip."""


class TemplateToken:
    """A token of a template that takes an argument, such as `{new:column}`."""

    def __init__(self, render: Callable[[str], str]) -> None:
        self._render = render

    def __format__(self, spec: str, /) -> str:
        return self._render(spec)


class Dialect(NamedTuple):
    """A server's SQL for the tokens of templates. The defaults are what two of three servers have.

    `now` is when a statement began; `clock` is later if it has waited for locks since. `lock` ends
    a SELECT that locks its rows. `share` ends one that locks its rows, but lets others lock them in
    the same way. `skip` ends one that locks its rows and skips rows locked by others. `turn`,
    `by_id` and `{line:name}` are index hints for claims, for ids and for the lines. `least` and
    `greatest` are the functions min(a, b) and max(a, b). `no_bytes` is an empty value of bytes.
    `after` is whether a job comes after another one in its queue; its arguments are the other's due
    time, its id, and the time again. `{on:key}` begins the upsert clause of an INSERT; there,
    `{new:column}` is the value it would insert, and a value that is stored has the table's name
    before it. `{unless:key}` lets an INSERT store nothing if the key is stored. `{joined:columns}`
    is one text of the values of these columns, separated by spaces; only the last may be bytes.
    `{in_one_text:value}` is one text of all rows' values, separated by commas. `{any:column}` is an
    aggregate of a column without NULLs; it is NULL if there is no row. `{ordering:column}` is a
    column in an index that must not be used where the plain `column` is compared, because
    PostgreSQL has no hints. `{returned:text}` is the text where jobs that have returned have a
    place of their own, else nothing.

    The others are for tables. `{quoted:name}` is how a table's name is written. `id`, `{text:255}`
    and `bytes` are the types of a job's id, of text of so many bytes, and of bytes. `table` ends a
    statement that makes a table. `clustered` ends it instead if the table is stored in the order of
    its key. `{where:condition}` limits an index to some rows. `keys_within`: whether the statement
    that makes a table also makes its indexes. `more_tables`: those of this server alone.

    `random` is a random value for a column of type `id`. `user_now` is `now` on a connection of the
    application, whatever this has set; `?` stands for the engine's clock. `instead`: templates that
    this server replaces, with the same arguments and the same meaning."""

    now: str
    clock: str
    share: str
    in_list: str
    joined: TemplateToken
    id: str
    text: TemplateToken
    bytes: str
    table: str
    clustered: str
    random: str
    user_now: str
    lock: str = "FOR UPDATE"
    skip: str = "FOR UPDATE SKIP LOCKED"
    turn: str = ""
    by_id: str = ""
    line: TemplateToken = TemplateToken("".format)
    least: str = "LEAST"
    greatest: str = "GREATEST"
    no_bytes: str = "x''"
    after: str = "((due_at = ? AND id > ?) OR due_at > ?)"
    on: TemplateToken = TemplateToken("ON CONFLICT ({}) DO UPDATE SET".format)
    new: TemplateToken = TemplateToken("excluded.{}".format)
    unless: TemplateToken = TemplateToken("ON CONFLICT ({}) DO NOTHING".format)
    in_one_text: TemplateToken = TemplateToken("GROUP_CONCAT({})".format)
    any: TemplateToken = TemplateToken("MIN({})".format)
    ordering: TemplateToken = TemplateToken("{}".format)
    returned: TemplateToken = TemplateToken("".format)
    quoted: TemplateToken = TemplateToken("{}".format)
    where: TemplateToken = TemplateToken(" WHERE {}".format)
    keys_within: bool = False
    more_tables: Sequence[str] = ()
    instead: Mapping[str, str] = MappingProxyType({})


TABLES = [
    "jobs", "failed", "queues", "workers", "nodes", "windows", "overrides", "lines", "slots",
    "holds", "counters", "unique_keys", "schema", "schedules", "declared",
]  # fmt: skip


class RenderedSQL(dict[str, str]):
    """SQL by template; each template is rendered once."""

    def __init__(self, dialect: Dialect, namespace: str) -> None:
        super().__init__()
        self.tokens: dict[str, Any] = dialect._asdict()
        self.tables = [*TABLES, *dialect.more_tables]
        self.tokens["namespace"] = namespace
        for name in (*self.tables, "waiting"):
            self.tokens[name] = f"{dialect.quoted:{namespace}_{name}}"

    def __missing__(self, template: str) -> str:
        own = self.tokens["instead"].get(template, template)
        text = self[template] = " ".join(own.format_map(self.tokens).split())
        return text


def in_chunks(values: Sequence[T], size: int = MAX_LIST_VALUES) -> list[Sequence[T]]:
    """Split values into pieces of at most `size`."""
    return [values[at : at + size] for at in range(0, len(values), size)]


def first_chunk(pushes: Sequence[Push], jobs: int, size: int) -> Sequence[Push]:
    """Return the first of these jobs: at most `jobs`, whose bodies together have at most `size`
    bytes, but at least one."""
    totals = list(accumulate(len(one.body) for one in pushes[:jobs]))
    return pushes[: max(1, bisect_right(totals, size))]
