"""A connection in libpq's pipeline mode: statements are sent together, and their results read.

libpq itself waits without a limit. So all waiting is done here, for at most SOCKET_TIMEOUT seconds
until the socket can be read or written.
"""

import select
from collections.abc import Callable, Sequence

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn, PGresult

from poolq.engines.postgresql.statements import Bound

#: Seconds to wait for data on a socket.
SOCKET_TIMEOUT = 5.0

_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_ERRORS = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)
_SYNC, _ALIVE, _BINARY = pq.ExecStatus.PIPELINE_SYNC, pq.ConnStatus.OK, pq.Format.BINARY
#: SQLSTATE of errors that libpq has noticed, such as a connection that was cut.
NO_CODE = ""


class ServerError(Exception):
    """`code` is the SQLSTATE, or NO_CODE if the server has sent none. `is_over`: whether the
    connection has ended. `was_sent`: whether the server may have run the statements. `sql`: the
    statement that has failed, if it is known."""

    def __init__(
        self, code: str, text: str, *, is_over: bool = False, was_sent: bool = True, sql: str = ""
    ) -> None:
        super().__init__(" ".join(text.split()))
        self.code = code
        self.sql = sql
        self.is_over = is_over
        self.was_sent = was_sent


class Wire:
    """An open connection. One thread uses it. `is_shared`: whether a pooler may use another session
    of the server for each transaction, so that no statement stays prepared."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.raw: PGconn = connection.pgconn
        self.raw.enter_pipeline_mode()
        self.is_shared = True
        self._prepared: set[bytes] = set()
        self._poll, self._poll_sending = select.poll(), select.poll()
        self._poll.register(self.raw.socket, select.POLLIN)
        self._poll_sending.register(self.raw.socket, select.POLLIN | select.POLLOUT)

    def run(self, bound: Sequence[Bound]) -> list[PGresult]:
        """Run statements in one round trip, and prepare those that are new on this connection.
        Returns the result of each one. Raises ServerError."""
        #: For each result, the name of the statement that it prepares, or b"", and the statement.
        added: list[tuple[bytes, bytes]] = []

        def send(raw: PGconn) -> None:
            for (name, sql, types), values, formats in bound:
                if self.is_shared:
                    raw.send_query_params(sql, values, types, formats, _BINARY)
                else:
                    if name not in self._prepared:
                        self._prepared.add(name)
                        raw.send_prepare(name, sql, types)
                        added.append((name, sql))
                    raw.send_query_prepared(name, values, formats, _BINARY)
                added.append((b"", sql))

        found: list[PGresult] = []
        failed: ServerError | None = None
        for (name, sql), result in zip(added, self.exchange(send), strict=True):
            if result.status not in _GOOD:
                self._prepared.discard(name)
                failed = failed or error_of(result, sql)
            elif not name:
                found.append(result)
        if failed is not None:
            raise failed
        return found

    def exchange(self, send: Callable[[PGconn], None] = lambda _: None) -> list[PGresult]:
        """Send statements, and return their results. Those that follow an error were not run.
        Raises ServerError if the connection ends."""
        results: list[PGresult] = []
        try:
            send(self.raw)
            self.raw.pipeline_sync()
            while not self._read(results):
                self._wait(self.raw.flush() != 0)
                self.raw.consume_input()
        except psycopg.Error as error:
            failed = [one for one in results if one.status in _ERRORS]
            raise self._over(failed[0] if failed else None, str(error)) from error
        except BaseException:
            self.close()  # an answer may still come
            raise
        if self.raw.status != _ALIVE:
            raise self._over(results[-1], "the server has ended the connection")
        return results

    def _read(self, results: list[PGresult]) -> bool:
        """Read the results that have arrived. Returns whether they are complete."""
        raw = self.raw
        ended = False
        while not raw.is_busy():
            result = raw.get_result()
            if result is not None:
                if result.status == _SYNC:
                    return True
                results.append(result)
            elif ended:
                break
            ended = result is None
        return raw.status != _ALIVE

    def _wait(self, sending: bool) -> None:
        poll = self._poll_sending if sending else self._poll
        if not poll.poll(SOCKET_TIMEOUT * 1000):
            text = f"the server has not answered within {SOCKET_TIMEOUT:g} s"
            raise ServerError(NO_CODE, text, is_over=True)

    def _over(self, result: PGresult | None, said: str) -> ServerError:
        if result is None or result.status not in _ERRORS:
            return ServerError(NO_CODE, said, is_over=True)
        failed = error_of(result)
        return ServerError(failed.code, str(failed), is_over=True)

    def hear(self, timeout: float) -> set[str]:
        """Wait for notifications, or for anything else that the server sends unasked, for at most
        `timeout` seconds. Returns what they say. Some may have come with the results of statements.
        Raises ServerError."""
        try:
            told = self._told()
            if not told and self._poll.poll(timeout * 1000):
                self.raw.consume_input()
                told = self._told()
            return told
        except psycopg.Error as error:
            raise ServerError(NO_CODE, str(error), is_over=True) from error

    def _told(self) -> set[str]:
        return {one.extra.decode() for one in iter(self.raw.notifies, None)}

    def close(self) -> None:
        self.connection.close()


def error_of(result: PGresult, sql: bytes = b"") -> ServerError:
    """Return the error in the result of a statement."""
    code = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
    text = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
    return ServerError(code.decode(), text.decode("utf-8", "replace"), sql=sql.decode())
