"""The stored form of a job: an immutable JSON body, and beside it a small mutable state.

The body is written once, by the producer, and never again: engines pass it through as bytes.
What changes over a job's life (tries, crashes, history) is `State`, which engines keep beside it.
Both are documented in docs/message.md. Never pickle: a message can name a job, not code.
"""

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from poolq.errors import BadMessage, NewerMessage
from poolq.limits import OnLimit

VERSION = 1
HISTORY_KEPT = 20


Name = Annotated[str, Meta(min_length=1, max_length=255)]
#: What a message may ask for at most: each crash and each timeout costs a worker.
MOST_ATTEMPTS = 1_000_000
MOST_CRASHES = 1_000
MOST_STEPS = 1_000
Attempts = Annotated[int, Meta(ge=1, le=MOST_ATTEMPTS)]
Crashes = Annotated[int, Meta(ge=1, le=MOST_CRASHES)]
Micros = Annotated[int, Meta(ge=0, le=2**53)]
Span = Annotated[str, Meta(pattern=r"^P[0-9]{1,5}M(T[0-9]{1,11}(\.[0-9]{1,6})?S)?$")]
Steps = Annotated[tuple[Micros | Span, ...], Meta(max_length=MOST_STEPS)]


class Message(msgspec.Struct, omit_defaults=True, frozen=True, gc=False):
    """What a producer stores. Durations in microseconds; `retry_after` is a step an attempt, text
    where it is a span of calendar months (`moments.span`)."""

    v: int
    id: Name
    job: Name
    queue: Name
    payload: Any = {}
    attempts: Attempts = 1
    retry_after: Steps = ()
    max_crashes: Crashes = 3
    on_limit: OnLimit = "release"
    timeout: Micros = 0


class Push(NamedTuple):
    """A job to store. Due at `at` (microseconds since the epoch) or, when 0, `delay` from now."""

    id: str
    queue: str
    body: bytes
    delay: int = 0
    at: int = 0


class _Body(msgspec.Struct, frozen=True):
    """The parts of a body that a reader needs even when the rest makes no sense."""

    job: str = "?"
    queue: str = "?"


class _Version(msgspec.Struct, frozen=True):
    v: int = VERSION


class State(NamedTuple):
    """What happened so far. `attempt`: counted tries; `crashes`: deaths of workers that ran it;
    `failing`: 0, or 1 plus the deaths since it was marked failing; `history`: Entry lines."""

    attempt: int = 0
    crashes: int = 0
    failing: int = 0
    history: bytes = b""


#: Of a job that nothing has happened to yet: one object, so that most are told apart by identity.
INITIAL = State()


class Entry(msgspec.Struct, omit_defaults=True, frozen=True):
    """One line of a job's history. `at`: microseconds since the epoch; `cause`: see CAUSES."""

    at: int
    cause: str
    error: str = ""
    attempt: int = 0
    traceback: str = ""
    worker: str = ""
    signal: int = 0
    exit_code: int = 0


#: error, released, limited and timeout counted an attempt; crash is counted apart; unknown and
#: newer are not counted.
CAUSES = ("error", "released", "limited", "timeout", "crash", "unknown", "newer", "failed")

#: What msgspec raises for bytes that are no JSON, or not the JSON that is wanted.
UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)
_body_decoder = msgspec.json.Decoder(_Body)
_entry_decoder = msgspec.json.Decoder(Entry)


def encode(message: Message) -> bytes:
    """The body. The payload must have been checked (`poolq.payload`)."""
    return _encoder.encode(message)


def decode(body: bytes) -> Message:
    """Read a body. Raises BadMessage when it is no message of a version that this code knows, and
    NewerMessage when its version is a later one."""
    try:
        message = _decoder.decode(body)
    except UNREADABLE as error:
        _check_version(_version(body))
        raise BadMessage(f"message cannot be read: {error}: {body[:80]!r}") from None
    if message.v != VERSION:
        _check_version(message.v)
    if type(message.payload) is not dict:
        raise BadMessage(f"message's payload is no JSON object: {body[:80]!r}")
    return message


def name_and_queue(body: bytes) -> tuple[str, str]:
    """The job's name and queue, "?" where the body does not tell; for listings."""
    try:
        head = _body_decoder.decode(body)
    except UNREADABLE:
        return "?", "?"
    return head.job, head.queue


def _version(body: bytes) -> int:
    """Of a body that cannot be read, perhaps because a later poolq wrote it."""
    try:
        return msgspec.json.decode(body, type=_Version).v
    except UNREADABLE:
        return VERSION


def _check_version(version: int) -> None:
    if version != VERSION:
        kind = NewerMessage if version > VERSION else BadMessage
        raise kind(f"message has version {version}; this poolq reads version {VERSION}")


def entry(line: Entry) -> bytes:
    """One history line, without its newline (JSON has none inside)."""
    try:
        return _encoder.encode(line)
    except UnicodeEncodeError:  # half a surrogate pair, as in a file name that is not UTF-8
        shown = {
            field: value.encode("utf-8", "backslashreplace").decode()
            for field, value in msgspec.structs.asdict(line).items()
            if isinstance(value, str)
        }
        return _encoder.encode(msgspec.structs.replace(line, **shown))


def entries(history: bytes) -> list[Entry]:
    """The history as values, oldest first; a line that cannot be read is shown as it is."""
    found = []
    for line in history.splitlines():
        try:
            found.append(_entry_decoder.decode(line))
        except UNREADABLE:
            found.append(Entry(0, "failed", line.decode("utf-8", "replace")))
    return found


def with_entry(history: bytes, line: Entry) -> bytes:
    """History with one line more; the first and the last HISTORY_KEPT - 1 are kept."""
    lines = [*history.splitlines(), entry(line)]
    if len(lines) > HISTORY_KEPT:
        lines = [lines[0], *lines[1 - HISTORY_KEPT :]]
    return b"\n".join(lines)
