"""Sends requests to a running pool and receives its answers, as `protocol.py` defines them."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec

from poolq.config import engine_urls
from poolq.control.protocol import FIELDS, VERSION, Answer
from poolq.engines.base import Engine
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
ANNOUNCE_TIMEOUT = 1.0  # seconds
MAX_ANNOUNCED_CHARS = 300
_answer = msgspec.json.Decoder(dict[str, Any])


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn any error in reading a pool's answer or shared memory into a PoolqError, since another
    program may have written them."""
    try:
        yield
    except PoolqError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise PoolqError(
            f"pool {name!r} shows what this command cannot read ({type(error).__name__}: {error}); "
            "use the poolq of that pool"
        ) from error


def request(
    name: str,
    environ: Mapping[str, str],
    do: str,
    fields: Mapping[str, object] | None = None,
    timeout: float | None = ANSWER_TIMEOUT,
) -> Answer:
    """Send a request to the pool of this name and return the answer. A `timeout` of None means no
    limit. Raises PoolNotFound, WaitTimeout, Refused if the pool refuses or is another user's, and
    PoolqError if it ends without an answer."""
    line, _ = _connect(name, environ)
    with closing(line):
        answer = _ask(line, name, {"v": VERSION, "do": do, **(fields or {})}, timeout, None)
    if not answer["ok"]:
        raise Refused(f"pool {name!r}: {answer['error']}")
    return answer


def attach(name: str, environ: Mapping[str, str]) -> tuple[Scoreboard, int]:
    """Open the pool's scoreboard, read-only, and return it and the pid of the pool. The scoreboard
    stays readable after the pool has ended. Raises the errors of `request`, and Refused if the pool
    does not share its scoreboard."""
    line, pid = _connect(name, environ)
    fds: list[int] = []
    try:
        with closing(line):
            answer = _ask(line, name, {"v": VERSION, "do": "attach"}, ANSWER_TIMEOUT, fds)
        rows = rows_of(fds[-1]) if fds else 0
        if not answer["ok"] or not rows:
            raise Refused(f"pool {name!r}: {answer.get('error', 'it sent no scoreboard')}")
        return Scoreboard(rows, fds.pop(), readonly=True), pid
    finally:
        for fd in fds:
            os.close(fd)


def announce(engine: Engine, command: str, text: str) -> None:
    """Tell the pools of this host that `command` has changed jobs of `engine`. Without this, their
    logs and screens would not show it, since the command acts on the engine. Skips pools that this
    user may not command. Does not wait for answers or raise errors: the command has succeeded."""
    request = {
        "v": VERSION, "do": "announce", "command": command, "text": text[:MAX_ANNOUNCED_CHARS],
        "url": engine_urls.redact(engine.url), "namespace": engine.namespace,
    }  # fmt: skip
    line = msgspec.json.encode(request) + b"\n"
    for pool in running_pools(os.environ):
        with suppress(OSError), connect(pool, ANNOUNCE_TIMEOUT) as connection:
            connection.settimeout(ANNOUNCE_TIMEOUT)
            connection.sendall(line)


def _connect(name: str, environ: Mapping[str, str]) -> tuple[socket.socket, int]:
    deadline = monotonic() + STARTUP_TIMEOUT
    while True:
        pool = _find(name, environ)
        try:
            return connect(pool, ANSWER_TIMEOUT), pool.pid
        except PermissionError:
            raise Refused(
                f"pool {name!r} (pid {pool.pid}) belongs to another user; run this command as "
                "that user or as root"
            ) from None
        except (FileNotFoundError, ConnectionRefusedError):
            if monotonic() > deadline:
                raise PoolNotFound(
                    f"pool {name!r} (pid {pool.pid}) runs, but its socket in {pool.folder} "
                    "is gone; signals still reach it"
                ) from None
            sleep(CONNECT_RETRY_DELAY)
        except BlockingIOError:
            raise _overdue(name) from None


def _ask(
    line: socket.socket,
    name: str,
    request: Mapping[str, object],
    timeout: float | None,
    fds: list[int] | None,
) -> Answer:
    """Send a request and return the answer. Descriptors sent with it are added to `fds`."""
    do, waits = str(request["do"]), bool(request.get("wait"))
    deadline = None if timeout is None else monotonic() + timeout
    try:
        line.settimeout(ANSWER_TIMEOUT)
        line.sendall(msgspec.json.encode(request) + b"\n")
        data = _receive(line, deadline, fds)
    except TimeoutError:
        if not waits:
            raise _overdue(name) from None
        raise WaitTimeout(
            f"pool {name!r} has not answered {do} --wait after {timeout:g} s; "
            "the command is still under way"
        ) from None
    except OSError as error:
        raise PoolqError(f"pool {name!r} closed the connection: {error.strerror}") from None
    if not data.endswith(b"\n"):
        raise PoolqError(f"pool {name!r} ended without an answer; its log may say why")
    invalid = PoolqError(f"pool {name!r} gave an invalid answer: {data[:60].decode('latin-1')!a}")
    try:
        answer: Answer = _answer.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise invalid from None
    if answer.get("v") != VERSION:
        raise PoolqError(
            f"pool {name!r} speaks version {answer.get('v')}, but this command version "
            f"{VERSION}; use the poolq of that pool"
        )
    begun = do in ("drain", "stop") and not waits
    field, kind = ("ok", bool) if begun else FIELDS.get(do, ("ok", bool))
    if answer.get("ok") is False:
        field, kind = "error", str
    if type(answer.get("ok")) is not bool or type(answer.get(field)) is not kind:
        raise invalid
    return answer


def _receive(line: socket.socket, deadline: float | None, fds: list[int] | None) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) < MAX_ANSWER_BYTES:
        remaining = None if deadline is None else deadline - monotonic()
        if remaining is not None and remaining <= 0:
            raise TimeoutError
        line.settimeout(remaining)
        if fds is None:
            chunk = line.recv(1 << 16)  # descriptors that nobody wants are closed
        else:
            chunk, received, _, _ = socket.recv_fds(line, 1 << 16, 1)
            fds += received
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _overdue(name: str) -> WaitTimeout:
    return WaitTimeout(f"pool {name!r} did not answer within {ANSWER_TIMEOUT:g} s")


def _find(name: str, environ: Mapping[str, str]) -> RunningPool:
    pools = running_pools(environ)
    for pool in pools:
        if pool.name == name:
            return pool
    names = ", ".join(sorted({repr(pool.name) for pool in pools}))
    choice = f"; choose one with --name: {names}" if names else ", nor does any other"
    folders = ", ".join(_shown(folder, environ) for folder in search_folders(environ))
    raise PoolNotFound(f"no pool named {name!r} runs here{choice} (looked in {folders})")


def _shown(folder: Path, environ: Mapping[str, str]) -> str:
    with suppress(OSError):
        if why := reason_for_distrust(folder, environ):
            return f"not in {folder}, as {why}"
    closed = os.access(folder, os.F_OK) and not os.access(folder, os.R_OK | os.X_OK)
    return f"{folder}, which you may not read" if closed else str(folder)
