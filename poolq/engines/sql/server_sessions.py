"""Transactions and sessions of database servers: MySQL and PostgreSQL. They are repeated after a
deadlock, and a session is useless once a signal handler has raised amid an exchange."""

import select
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import count, islice
from random import random
from typing import Any, Generic, NamedTuple, TypeVar

from poolq.engines.connections import raised_by_handler, reentrancy_error
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    Session,
    Transaction,
    in_chunks,
)
from poolq.errors import EngineError

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

#: Seconds of retries after which a transaction fails.
RETRY_TIMEOUT = 10.0


def results_by_query(
    statements: Iterable[Sequence[object]], results: Iterable[QueryResult]
) -> list[QueryResult]:
    """Return the result of each query. `statements`: those of each query. `results`: those of all
    statements, one after the other."""
    rest = iter(results)
    return [
        next(rest)
        if len(some) == 1
        else QueryResult((), sum(one.changed for one in islice(rest, len(some))))
        for some in statements
    ]


class ServerTransaction(Transaction):
    """A transaction that begins with the first statements sent and ends with the last. `marking`:
    the statement that marks jobs as claimed, and for how many at once: few, because it looks for
    the position of each one."""

    began = False
    marking: tuple[str, int]

    @abstractmethod
    def commit(self) -> None:
        """Send the collected changes and COMMIT in one round trip."""

    @abstractmethod
    def roll_back(self) -> None:
        """End the transaction without its changes."""

    def claim_updates(
        self, place: str, request: int, first: int, ids: Sequence[str], now: int
    ) -> list[Query | BatchQuery]:
        mark, most = self.marking
        chunks = zip(count(first - 1, most), in_chunks([*ids], most), strict=False)
        return [
            Query(mark, (place, request, now, before, self.positions(some), some))
            for before, some in chunks
        ]

    def positions(self, ids: Sequence[str]) -> object:
        """Return the argument in which `marking` looks for the position of an id."""
        return ids


class Faults(NamedTuple, Generic[E]):
    """What the errors of a driver, `raised`, mean: whether a transaction is repeated after one,
    whether the connection has become useless, and poolq's error for it."""

    raised: type[E]
    can_retry: Callable[[E], bool]
    is_lost: Callable[[E], bool]
    translate: Callable[[E, Any], EngineError]


class ServerSession(Session, Generic[E]):
    """A thread's connection to a server. `name`: under which the server lists it. `socket`: its
    number. `busy`: it waits for an answer, or is within a transaction. `on_lost` is called when the
    connection has become useless, `on_used` when the server has answered."""

    counted = 10_000
    faults: Faults[E]

    def __init__(
        self,
        name: str,
        options: Any,
        socket: int,
        on_lost: Callable[["ServerSession[E]"], None],
        on_used: Callable[[], None],
    ) -> None:
        self.name = name
        self.options = options
        self.known_queues: set[str] = set()
        self.busy = False
        self._on_lost = on_lost
        self._on_used = on_used
        self._poll = select.poll()
        self._poll.register(socket, select.POLLIN)

    def is_quiet(self) -> bool:
        """Return False if the server has sent something unasked, such as the connection's end."""
        return not self._poll.poll(0)

    @abstractmethod
    def ping(self) -> None:
        """Ask the server for an answer. Raises the driver's errors, OSError."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def begin(self) -> ServerTransaction:
        """Return a new transaction."""

    def alive(self) -> bool:
        if self.busy:
            return True
        self.busy = True
        try:
            self.ping()
        except (self.faults.raised, OSError) as error:
            by_handler = raised_by_handler(error)
            if by_handler is None:
                return False
            self._on_lost(self)
            raise by_handler from None
        except BaseException:
            self._on_lost(self)
            raise
        finally:
            self.busy = False
        return True

    def transact(self, work: Callable[[Transaction], T], gives_way: bool = False) -> T:  # noqa: ARG002  # on servers, writers do not wait in line
        return self.retry(lambda: self._run_transaction(work))

    def _run_transaction(self, work: Callable[[Transaction], T]) -> T:
        tx = self.begin()
        try:
            result = work(tx)
            tx.commit()
        except self.faults.raised as error:
            if tx.began and not self.faults.is_lost(error):
                tx.roll_back()
            raise
        return result

    def retry(self, act: Callable[[], T]) -> T:
        """Run `act`, and repeat it after a deadlock or a lock timeout. Raises EngineError in a
        signal handler that has interrupted another statement of this thread."""
        if self.busy:
            raise reentrancy_error(self.options.redacted_url)
        self.busy = True
        try:
            return self._retry_until_done(act)
        finally:
            self.busy = False

    def _retry_until_done(self, act: Callable[[], T]) -> T:
        end, faults = None, self.faults
        while True:
            try:
                return act()
            except faults.raised as error:
                now = time.monotonic()
                end = now + RETRY_TIMEOUT if end is None else end
                if not faults.can_retry(error) or now > end:
                    if faults.is_lost(error):
                        self._on_lost(self)
                    raise faults.translate(error, self.options) from error
            except BaseException:
                # For example, a signal handler has raised. The transaction may still be open, and
                # an answer to come, which the next statement would take for its own.
                self._on_lost(self)
                raise
            time.sleep(0.02 * random())
