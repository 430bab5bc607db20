"""How a job is stored: as a JSON body, and beside it a small mutable state.

The producer writes the body; only `poolq failed retry` may replace it. Engines treat it as
bytes. What changes during a job's life (attempts, crashes, history) is its `State`, which engines
store beside the body. Both are described in docs/message.md. Nothing is pickled, so a message can
name a job but carries no code.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from poolq.common.lengths import MAX_JOB_NAME_BYTES
from poolq.common.unreadable import UNREADABLE
from poolq.errors import BadMessage, NewerMessage
from poolq.jobs.limits import Gate, OnLimit
from poolq.jobs.unique import UniqueKey

MESSAGE_VERSION = 1
MAX_HISTORY = 20

Name = Annotated[str, Meta(min_length=1, max_length=MAX_JOB_NAME_BYTES)]
#: Upper bounds for the options in a message. Each crash and each timeout costs a worker.
MAX_ATTEMPTS = 1_000_000
MAX_CRASHES = 1_000
MAX_RETRY_STEPS = 1_000
MAX_SNOOZES = 1_000_000
NO_JITTER = 0.0  # one object: msgspec omits a float only if it is the same object as the default
Attempts = Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)]
Crashes = Annotated[int, Meta(ge=1, le=MAX_CRASHES)]
Jitter = Annotated[float, Meta(ge=0, le=1)]
Snoozes = Annotated[int, Meta(ge=0, le=MAX_SNOOZES)]
Micros = Annotated[int, Meta(ge=0, le=2**53)]
Span = Annotated[str, Meta(pattern=r"^P[0-9]{1,5}M(T[0-9]{1,11}(\.[0-9]{1,6})?S)?\Z")]
Steps = Annotated[tuple[Micros | Span, ...], Meta(max_length=MAX_RETRY_STEPS)]


class Message(msgspec.Struct, omit_defaults=True, frozen=True, gc=False):
    """What a producer stores. Durations are in microseconds. `retry_after`: the delays before the
    retries; the last one repeats. A delay with calendar months is a text (`date_parser.span`).
    `scheduled_at`: the tick that a periodic job belongs to, in microseconds since the epoch.
    `gate`: the limit of the option `concurrent`, with the key that it has for this payload."""

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
    jitter: Jitter = NO_JITTER
    max_snoozes: Snoozes = 0
    expires: Micros = 0
    headers: dict[str, str] | None = None
    scheduled_at: Micros = 0
    gate: Gate | None = None


class Push(msgspec.Struct, frozen=True, gc=False):
    """A job to store, due at `at` (µs since the epoch) or, if that is 0, after `delay` (µs).
    `expires`: how many microseconds after it is due it expires; 0: never. `unique`: its unique key.
    `gate`: the gate in whose wait list it is stored, if it has neither a delay nor a unique key.

    It is no tuple, because the garbage collector would look at each job of a list again and again.
    """

    id: str
    queue: str
    body: bytes
    delay: int = 0
    at: int = 0
    expires: int = 0
    unique: UniqueKey | None = None
    gate: Gate | None = None


class _Body(msgspec.Struct, frozen=True):
    """The parts of a body that are needed even if the rest is invalid, each of any type."""

    job: Any = None
    queue: Any = None
    v: Any = MESSAGE_VERSION


class State(NamedTuple):
    """What has happened to a job so far. `attempt` counts its attempts and `crashes` the workers
    that died while running it. `failing` is 0 until the job fails for good, then 1 plus the
    number of workers that have died since, in its `on_failure()`. `history` holds one encoded
    Entry per line."""

    attempt: int = 0
    crashes: int = 0
    failing: int = 0
    history: bytes = b""


#: The state of a new job. It is one object, so that most new jobs are recognised by identity.
INITIAL = State()


class Entry(msgspec.Struct, omit_defaults=True, frozen=True):
    """One line of a job's history. `at`: epoch microseconds; `cause`: one of HISTORY_CAUSES;
    `worker`: its `worker_title`, or its name in the engine if no more is known of it.
    `count`: how many snoozes the line stands for; 0 for other causes."""

    at: int
    cause: str
    error: str = ""
    attempt: int = 0
    traceback: str = ""
    worker: str = ""
    signal: int = 0
    exit_code: int = 0
    count: int = 0


def worker_title(slot: int, pool: str, host: str) -> str:
    """Return what people call a worker: its name in the pool's log, then the pool and the host."""
    return f"worker {slot} of pool {pool} on {host}"


#: The causes up to timeout count as attempts, as does failed if the job has run. Crashes are
#: counted separately. The others do not count.
HISTORY_CAUSES = (
    "error", "released", "limited", "timeout", "crash", "unknown", "newer", "returned", "snoozed",
    "failed",
)  # fmt: skip

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)
_body_decoder = msgspec.json.Decoder(_Body)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entry_decoder = msgspec.json.Decoder(Entry)


def encode(message: Message) -> bytes:
    """Encode a message. Its payload must have passed `payload.check`."""
    return _encoder.encode(message)


def encode_gate(gate: Gate) -> bytes:
    return _encoder.encode(gate)


def decode(body: bytes) -> Message:
    """Decode a body. Raises BadMessage if it is not a message of a known version, NewerMessage if
    its version is later than this code knows."""
    try:
        message = _decoder.decode(body)
    except UNREADABLE as error:
        _check_version(_body(body).v)  # a later poolq may have written it
        raise BadMessage(f"message cannot be read: {error}: {body[:80]!r}") from None
    if message.v != MESSAGE_VERSION:
        _check_version(message.v)
    if type(message.payload) is not dict:
        raise BadMessage(f"the message's payload is not a JSON object: {body[:80]!r}")
    if not message.job.isascii() and len(message.job.encode()) > MAX_JOB_NAME_BYTES:
        raise BadMessage(f"the job's name has more than {MAX_JOB_NAME_BYTES} bytes: {body[:80]!r}")
    return message


def with_fields(body: bytes, fields: Mapping[str, object]) -> bytes:
    """Return the body with these fields replaced. All other fields keep their exact bytes. Raises
    BadMessage if the body is not a message of this version."""
    decode(body)
    return _encoder.encode({**_fields_decoder.decode(body), **fields})


def name_and_queue(body: bytes) -> tuple[str, str]:
    """Return the job's name and queue for listings, or "?" for what the body does not contain."""
    head = _body(body)
    return _shown(head.job), _shown(head.queue)


def _shown(name: object) -> str:
    return name if isinstance(name, str) else "?"


def _body(body: bytes) -> _Body:
    try:
        return _body_decoder.decode(body)
    except UNREADABLE:
        return _Body()


def _check_version(version: object) -> None:
    if isinstance(version, int) and version != MESSAGE_VERSION:
        kind = NewerMessage if version > MESSAGE_VERSION else BadMessage
        raise kind(f"message has version {version}; this poolq reads version {MESSAGE_VERSION}")


def entry(line: Entry) -> bytes:
    """Encode one line of the history, without a newline at its end."""
    try:
        return _encoder.encode(line)
    except UnicodeEncodeError:  # a lone surrogate, as in a file name that is not UTF-8
        shown = {
            field: value.encode("utf-8", "backslashreplace").decode()
            for field, value in msgspec.structs.asdict(line).items()
            if isinstance(value, str)
        }
        return _encoder.encode(msgspec.structs.replace(line, **shown))


def entries(history: bytes) -> list[Entry]:
    """Decode the history, oldest entry first; an invalid line is an entry's error."""
    found = []
    for line in history.splitlines():
        try:
            found.append(_entry_decoder.decode(line))
        except UNREADABLE:
            found.append(Entry(0, "failed", line.decode("utf-8", "replace")))
    return found


def with_entry(history: bytes, line: Entry | bytes) -> bytes:
    """Add a line to the history. Keep only the first line and the last MAX_HISTORY - 1 lines."""
    lines = [*history.splitlines(), line if isinstance(line, bytes) else entry(line)]
    if len(lines) > MAX_HISTORY:
        lines = [lines[0], *lines[1 - MAX_HISTORY :]]
    return b"\n".join(lines)


def with_snooze(history: bytes, line: Entry) -> tuple[bytes, int]:
    """Add a line about a snooze, which replaces the one about earlier snoozes. Returns the history
    and the number of snoozes so far."""
    others, count = [], 1
    for known in history.splitlines():
        if b'"snoozed"' in known and (old := entries(known)[0]).cause == "snoozed":
            count += old.count
        else:
            others.append(known)
    return with_entry(b"\n".join(others), msgspec.structs.replace(line, count=count)), count
