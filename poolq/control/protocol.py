"""All requests to a running pool through its control socket, and their answers.

Each is one line of JSON; a request has at most 4096 bytes. `v` is the version of this protocol. A
connection serves for one request.

    {"v":1,"do":"status"}                      the pool's status: see master/status.py
    {"v":1,"do":"live"}, {"v":1,"do":"ready"}  health probes: see monitor/health.py
    {"v":1,"do":"attach"}                      the scoreboard: a descriptor and the number of "rows"
    {"v":1,"do":"pause"}, {"v":1,"do":"resume"}
    {"v":1,"do":"scale","procs":4}             or "by":-1
    {"v":1,"do":"reload"}                      "wait":true: answered once accepted or refused
    {"v":1,"do":"drain"}                       "wait":true: answered once the pool has ended
    {"v":1,"do":"kill","id":"…"}               cancels a running job; "give_back":true: returns it;
                                               "worker":3: only if this slot or pid runs it
    {"v":1,"do":"stop"}                        "now":true: running jobs are killed; "wait" as above
    {"v":1,"do":"announce",…}                  what a "command" has done, as "text", to jobs of the
                                               engine at "url" and "namespace"; logged if it is the
                                               pool's engine

    {"v":1,"ok":true,…}                        the request is done, or has begun
    {"v":1,"ok":false,"error":"…"}             the request cannot be done now

A line that is not a request is answered with "ok":false.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

VERSION = 1
Answer = dict[str, Any]


class AnswerWithFd(NamedTuple):
    """An answer to be sent with a descriptor, which the server keeps open."""

    answer: Answer
    fd: int


#: Called in each turn of the master's loop. Returns None until the awaited event has happened.
Wait = Callable[[], Answer | None]
Reply = Answer | AnswerWithFd | Wait
#: A field that an answer has unless it is a refusal. "drain" and "stop" have it only with "wait".
FIELDS: Mapping[str, tuple[str, type]] = {
    "pause": ("changed", bool), "resume": ("changed", bool), "scale": ("procs", int),
    "reload": ("generation", int), "kill": ("worker", int), "drain": ("code", int),
    "stop": ("code", int),
}  # fmt: skip


class BadRequest(Exception):  # no "Error" in the name, as in errors.py
    """The line is not a request."""


class _Version(msgspec.Struct):
    v: int


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One request; `do` decides which of the other fields have a meaning."""

    v: int
    do: str
    wait: bool = False
    now: bool = False
    procs: int | None = None
    by: int | None = None
    id: str | None = None
    worker: int | None = None
    give_back: bool = False
    command: str = ""
    text: str = ""
    url: str = ""
    namespace: str = ""


_version = msgspec.json.Decoder(_Version)
_request = msgspec.json.Decoder(Request)


def to_line(answer: Answer) -> bytes:
    return msgspec.json.encode({"v": VERSION, **answer}) + b"\n"


def refusal(why: str) -> Answer:
    return {"ok": False, "error": why}


def read(line: bytes) -> Request:
    """Decode a request line. Raises BadRequest."""
    try:
        asked = _version.decode(line).v
        if asked != VERSION:
            raise BadRequest(f"this pool speaks version {VERSION}, not {asked}")
        return _request.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequest(f"not a request: {error}") from None
