"""`poolq.within` stores jobs in the application's transaction; `poolq.after_commit` after it."""

from collections.abc import Sequence
from typing import Any, Literal

from poolq.config.engine_urls import redact
from poolq.engines.transactions.recognizing import connection_of
from poolq.errors import TransactionError
from poolq.jobs.block import Block
from poolq.jobs.message import Push, decode
from poolq.jobs.producer import engine, store_now

_KNOWN = (
    "a connection of sqlite3, PyMySQL or psycopg, a Session or Connection of SQLAlchemy, or a"
    " connection of Django or its alias, in which a transaction is open"
)
_TELL = "a Session of SQLAlchemy, or an alias of Django"


class within(Block):  # noqa: N801  # it reads as a word: with poolq.within(session):
    """Let each dispatch in this block be an INSERT in your open transaction.

        with poolq.within(session):
            SendMail.dispatch({"to": "ann@example.com"})

    `connection`: one of sqlite3, PyMySQL or psycopg; a Session or Connection of SQLAlchemy; one of
    Django, or its alias. It has the database in which poolq's engine stores. The jobs are committed
    or rolled back with the transaction, which stays yours. `notify`: see docs/reference.md.
    Raises TransactionError, also at a dispatch, and EngineUnavailable; a dispatch that fails raises
    what your connection raises. Unique jobs are refused.
    """

    def __init__(self, connection: Any, *, notify: bool = True) -> None:
        name = f"within({_shown(connection)})"
        if not isinstance(notify, bool):
            raise TransactionError(f"{name}: notify is {notify!r}; give True or False")
        self._store = engine().within(connection_of(connection, name, _KNOWN), notify)
        super().__init__(name)

    def _take(self, pushes: Sequence[Push]) -> None:
        for push in pushes:
            if push.unique:
                raise TransactionError(
                    f"job {decode(push.body).job} is unique, and other dispatches would wait for"
                    " its key until your commit: use poolq.after_commit, or dispatch it after that"
                )
        self._store(pushes)


class after_commit(Block):  # noqa: N801  # as `within`
    """Keep what is dispatched in this block, and store it after the commit of your transaction.

        with poolq.after_commit(session):
            SendMail.dispatch({"to": "ann@example.com"})

    `session`: a Session of SQLAlchemy, or a connection of Django or its alias. All jobs of a
    transaction are stored in one push, in their order, on any engine. A rollback drops them, also
    one to a savepoint. Without a transaction they are stored at once. Raises TransactionError. If
    they cannot be stored, your commit has succeeded, and raises an EngineError that names them.
    """

    is_later = True

    def __init__(self, session: Any, *, notify: Literal[True] = True) -> None:
        name = f"after_commit({_shown(session)})"
        if notify is not True:
            raise TransactionError(
                f"{name}: notify is only for poolq.within, whose statements are in your"
                " transaction; leave it out"
            )
        self.connection = connection_of(session, name, _TELL)
        if not self.connection.tells_commits:
            raise TransactionError(
                f"{name}: such a connection does not tell when it commits; give {_TELL}, or"
                " dispatch after your commit"
            )
        super().__init__(name)

    def _take(self, pushes: Sequence[Push]) -> None:
        if not self.connection.keep(pushes):
            store_now(list(pushes))


def _shown(given: object) -> str:
    """Return how errors name what was given: an alias, or by mistake a URL with a password."""
    return repr(redact(given)) if isinstance(given, str) else type(given).__name__
