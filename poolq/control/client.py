"""Sends requests to a running pool and receives its answers, as `protocol.py` defines them.

The connection ends when the pool ends.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec

from poolq.control.protocol import FIELDS, VERSION, Answer
from poolq.errors import PoolNotFound, PoolqError, Refused, WaitTimeout
from poolq.scoreboard.board import Scoreboard, rows_of
from poolq.system.runtime_folder import (
    RunningPool,
    connect,
    reason_for_distrust,
    running_pools,
    search_folders,
)

ANSWER_TIMEOUT = 10.0  # seconds that a pool has to answer a request that does not wait
STARTUP_TIMEOUT = 3.0  # seconds that a pool has between taking its lock and opening its socket
CONNECT_RETRY_DELAY = 0.05  # seconds
MAX_ANSWER_BYTES = 64 << 20
_answer = msgspec.json.Decoder(dict[str, Any])


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Let an error about what a pool has answered or shares, which may be another's program, be a
    PoolqError."""
    try:
        yield
    except PoolqError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise PoolqError(
            f"pool {name!r} shows what this command cannot read ({type(error).__name__}: {error}); "
            "use the poolq of that pool"
        ) from error


class ControlClient:
    """A connection to the pool of a given name."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        """Connect. Raises PoolNotFound, WaitTimeout or, if the pool is another user's, Refused."""
        self._name = name
        self._fds: list[int] = []
        deadline = monotonic() + STARTUP_TIMEOUT
        while True:
            found = _find(name, environ)
            self.pid = found.pid
            try:
                self._socket = connect(found, ANSWER_TIMEOUT)
                break
            except PermissionError:
                raise Refused(
                    f"pool {name!r} (pid {found.pid}) belongs to another user; run this command as "
                    "that user or as root"
                ) from None
            except (FileNotFoundError, ConnectionRefusedError):
                if monotonic() > deadline:
                    raise PoolNotFound(
                        f"pool {name!r} (pid {found.pid}) runs, but its socket in {found.folder} "
                        "is gone; signals still reach it"
                    ) from None
                sleep(CONNECT_RETRY_DELAY)
            except BlockingIOError:
                raise self._overdue(ANSWER_TIMEOUT) from None

    def request(
        self,
        do: str,
        more: Mapping[str, object] | None = None,
        timeout: float | None = ANSWER_TIMEOUT,
    ) -> Answer:
        """Send a request and return the answer, which may be a refusal. A `timeout` of None means
        no limit. Raises WaitTimeout, and PoolqError if the pool ends without an answer."""
        deadline = None if timeout is None else monotonic() + timeout
        request = {"v": VERSION, "do": do, **(more or {})}
        try:
            self._socket.settimeout(ANSWER_TIMEOUT)
            self._socket.sendall(msgspec.json.encode(request) + b"\n")
            data = self._receive(deadline)
        except TimeoutError:
            if not request.get("wait"):
                raise self._overdue(ANSWER_TIMEOUT) from None
            raise WaitTimeout(
                f"pool {self._name!r} has not answered {do} --wait after {timeout:g} s; "
                "the command is still under way"
            ) from None
        except OSError as error:
            raise PoolqError(
                f"pool {self._name!r} closed the connection: {error.strerror}"
            ) from None
        if not data.endswith(b"\n"):
            raise PoolqError(f"pool {self._name!r} ended without an answer; its log may say why")
        try:
            answer: dict[str, Any] = _answer.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise self._invalid_answer(data) from None
        if answer.get("v") != VERSION:
            raise PoolqError(
                f"pool {self._name!r} speaks version {answer.get('v')}, but this command version "
                f"{VERSION}; use the poolq of that pool"
            )
        begun = do in ("drain", "stop") and not request.get("wait")
        name, kind = ("ok", bool) if begun else FIELDS.get(do, ("ok", bool))
        if answer.get("ok") is False:
            name, kind = "error", str
        if type(answer.get("ok")) is not bool or type(answer.get(name)) is not kind:
            raise self._invalid_answer(data)
        return answer

    def attach(self) -> Scoreboard:
        """Open the pool's scoreboard, read-only. It stays readable after the pool has ended. Raises
        the errors of `request`, and Refused if the pool does not share its scoreboard."""
        answer = self.request("attach")
        rows = rows_of(self._fds[-1]) if self._fds else 0
        if not answer["ok"] or not rows:
            raise Refused(f"pool {self._name!r}: {answer.get('error', 'it sent no scoreboard')}")
        return Scoreboard(rows, self._fds.pop(), readonly=True)

    def close(self) -> None:
        self._socket.close()
        while self._fds:
            os.close(self._fds.pop())

    def wait_until_gone(self) -> None:
        """Wait for the end of a pool that is about to end. Raises WaitTimeout."""
        try:
            self._receive(monotonic() + ANSWER_TIMEOUT)
        except TimeoutError:
            raise self._overdue(ANSWER_TIMEOUT) from None
        except OSError:
            return  # a connection that was reset has ended, too

    def _receive(self, deadline: float | None) -> bytes:
        data = bytearray()
        while not data.endswith(b"\n") and len(data) < MAX_ANSWER_BYTES:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            chunk, fds, _, _ = socket.recv_fds(self._socket, 1 << 16, 1)
            self._fds += fds
            if not chunk:
                break
            data += chunk
        return bytes(data)

    def _invalid_answer(self, data: bytes) -> PoolqError:
        text = data[:60].decode("latin-1")
        return PoolqError(f"pool {self._name!r} gave an invalid answer: {text!a}")

    def _overdue(self, seconds: float) -> WaitTimeout:
        return WaitTimeout(f"pool {self._name!r} did not answer within {seconds:g} s")


def _find(name: str, environ: Mapping[str, str]) -> RunningPool:
    pools = running_pools(environ)
    for found in pools:
        if found.name == name:
            return found
    names = ", ".join(sorted({repr(found.name) for found in pools}))
    others = f"; choose one with --name: {names}" if names else ", nor does any other"
    where = ", ".join(_shown(one, environ) for one in search_folders(environ))
    raise PoolNotFound(f"no pool named {name!r} runs here{others} (looked in {where})")


def _shown(folder: Path, environ: Mapping[str, str]) -> str:
    with suppress(OSError):
        if why := reason_for_distrust(folder, environ):
            return f"not in {folder}, as {why}"
    closed = os.access(folder, os.F_OK) and not os.access(folder, os.R_OK | os.X_OK)
    return f"{folder}, which you may not read" if closed else str(folder)
