"""Stores jobs by statements of the application's own connection, in its transaction.

Only INSERTs are sent, with the server's time. On PostgreSQL, they also notify. They take no lock
that poolq needs, and no row of a queue. There is no commit and no savepoint. A job that waits for
`Concurrent` is stored as if it did not wait; the worker that claims the job parks it. How waiters
notice a late commit: see `queues/wakeups.py`.

The connection must have the engine's database, and not another one of that name. A random id in the
table `schema` shows whether it does. The id is read once for each of the driver's connections. The
engine's own connections have read theirs already (`servers.py`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from poolq.config.own_command import own_command
from poolq.engines.sanitize import to_text
from poolq.engines.sql.session import RenderedSQL, first_chunk
from poolq.engines.transactions.connection import UserConnection
from poolq.errors import TransactionError
from poolq.jobs.message import Push

#: The most jobs, and bytes of them, that one statement stores.
MAX_ROWS, MAX_BYTES = 100, 1 << 20
READ_ID = "SELECT id FROM {schema}"
_PLAIN = "(?, '', {user_now}, ?, {no_bytes}, ?, NULL)"
_DUE = "{greatest}(?, {user_now} + ?)"
_PLACE = f"CASE WHEN {_DUE} > {{user_now}} THEN 'd' ELSE '' END"
_TIMED = f"(?, {_PLACE}, {_DUE}, ?, {{no_bytes}}, ?, {_DUE} + ?)"


class UserSQL(NamedTuple):
    """How statements are written for connections of the application. `server`: see
    `UserConnection`. `clock`: returns the time in microseconds, if `{user_now}` is an argument.
    `text`: encodes text for columns of text. `telling`: SQL whose value is an empty text. After the
    commit, it tells waiters that the queue in its argument has jobs. `grant`: returns the GRANT
    that would have prevented an error on this connection, as the end of a message, or "".
    """

    server: str
    clock: Callable[[], int] | None = None
    text: Callable[[str], object] = str
    telling: str = ""
    grant: Callable[[Exception, RenderedSQL, UserConnection], str] = lambda *_: ""


def check_id(
    connection: UserConnection,
    texts: RenderedSQL,
    user_sql: UserSQL,
    redacted_url: str,
    load: Callable[[bool], str],
) -> None:
    """Raise TransactionError if a connection of the application has another database than the
    engine, or lacks the tables. `load` returns the id of the engine's database. If its argument is
    True, it reads the id again, because the id changes if the database is made anew."""
    table = texts.tokens["schema"]
    try:
        database_id = to_text((connection.read(texts[READ_ID]) or [""])[0])
    except Exception as error:
        said = str(getattr(error, "orig", error)).partition("\n")[0]  # SQLAlchemy adds to it
        if grant := user_sql.grant(error, texts, connection):
            raise TransactionError(f"{connection.label}: {said}{grant}") from error
        text = f"{connection.label} cannot read {table} ({said})"
        if f"{texts.tokens['namespace']}_schema" in said:
            text += (
                f": it needs the database of poolq's engine, {redacted_url}, in which"
                f" {own_command('db migrate')} has made the tables"
            )
        else:
            text += "; roll your transaction back, or connect again"
        raise TransactionError(text) from error
    if database_id != load(False) and database_id != load(True):
        raise TransactionError(
            f"{connection.label} has another table {table} than poolq's engine, {redacted_url}: let"
            " both have one database, or use poolq.after_commit"
        )


def require_transaction(connection: UserConnection) -> None:
    """Raise TransactionError if each statement would be committed at once."""
    if advice := connection.advice():
        raise TransactionError(
            f"{connection.label} is in no transaction, so a job would be committed at once:"
            f" {advice}, or dispatch outside of within()"
        )


class UserTransaction:
    """Stores jobs in the open transaction of one connection. `texts` returns the statements for
    this connection. `check` raises TransactionError if the connection does not have the engine's
    database."""

    def __init__(
        self,
        connection: UserConnection,
        user_sql: UserSQL,
        texts: Callable[[], RenderedSQL],
        check: Callable[[UserConnection], None],
    ) -> None:
        self._connection = connection
        self._user_sql = user_sql
        self._texts = texts
        self._check = check
        self._checked: object = ()  # the driver's connection

    def store(self, pushes: Sequence[Push]) -> None:
        """Store these jobs. Raises TransactionError, or what the application's layer raises."""
        require_transaction(self._connection)
        if self._connection.raw() is not self._checked:
            self._check(self._connection)
            self._checked = self._connection.raw()
        clock = self._user_sql.clock
        now = () if clock is None else (clock(),)
        remaining = pushes
        try:
            while remaining:
                batch = remaining if len(remaining) == 1 else _first_alike(remaining)
                self._insert(batch, now)
                remaining = remaining[len(batch) :]
        except Exception as error:
            extra = f" and {len(pushes) - 1} more" if len(pushes) > 1 else ""
            grant = self._user_sql.grant(error, self._texts(), self._connection)
            error.add_note(
                f"poolq: job {pushes[0].id}{extra} could not be stored in this transaction, so roll"
                f" it back{grant}"
            )
            raise

    def _insert(self, pushes: Sequence[Push], now: tuple[int, ...]) -> None:
        """Store jobs that are in one queue, and whose rows have one form."""
        row, queue = _form(pushes[0])
        telling, column = self._user_sql.telling, self._user_sql.text(queue)
        telling_args: tuple[str, ...] = (queue,) if telling else ()
        args: list[object] = []
        for push in pushes:
            if row is _PLAIN:
                args += push.id, *telling_args, *now, column, push.body
            else:
                due = push.at, *now, max(0, push.delay)
                args += push.id, *telling_args, *due, *now, *due, column, push.body, *due
                args.append(push.expires or None)
            telling_args = ()
        self._connection.execute(self._texts()[_statement(row, len(pushes), telling)], args)


def _form(push: Push) -> tuple[str, str]:
    """Return the form of a job's row, and its queue."""
    return _TIMED if push.at or push.delay or push.expires else _PLAIN, push.queue


def _first_alike(pushes: Sequence[Push]) -> Sequence[Push]:
    """Return the first of these jobs that have one form, for one statement."""
    _, group = next(groupby(pushes[:MAX_ROWS], _form))
    return first_chunk(list(group), MAX_ROWS, MAX_BYTES)


@lru_cache(2 * MAX_ROWS)
def _statement(row: str, count: int, telling: str) -> str:
    """Return an INSERT whose first place begins with the text `telling`. PostgreSQL drops a
    notification that equals an earlier one of the transaction."""
    first = row.replace("?, ", f"?, {telling} || ", 1) if telling else row
    rows = ", ".join([first.replace(" || '',", ","), *[row] * (count - 1)])
    return (
        f"INSERT INTO {{jobs}} (id, place, due_at, queue, history, body, expires_at) VALUES {rows}"
    )
