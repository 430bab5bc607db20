"""Unique jobs as values: what a job declares, the key of a payload, and how it is stored (pure).

The key is computed once, at the dispatch. Engines make sure that only one job has it
(`Engine.push`).

A key belongs to its job or to the job's claim. The operation that ends the job or claim frees the
key, too. So no key has to be swept, and none is left over if a process dies. A key whose job is
gone counts as free. Jobs without a unique key store nothing of this, and cost nothing.

With `until="end"`, a job holds its key from the dispatch until it is done, failed, discarded,
expired or cancelled. With "start", it holds the key while it waits, and a claim frees the key. If
the job returns to its queue, it takes its key again, or goes on without the key if another job has
it. A key that is held for a time is independent of the job: it ends by the clock.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from poolq.common import checks
from poolq.common.durations import MAX_MICROSECONDS, Duration, micros
from poolq.common.escaping import shown
from poolq.common.lengths import MAX_UNIQUE_KEY_BYTES
from poolq.common.names import path_of, suggestion
from poolq.errors import DurationError, OptionError, PayloadError

Until = Literal["start", "end", "time"]
#: What is stored beside a job that has a key.
_STORED = re.compile(rf"(start|end|time) ([^\x00-\x1f]{{1,{MAX_UNIQUE_KEY_BYTES}}})")
_Key = Annotated[
    str, Meta(min_length=1, max_length=MAX_UNIQUE_KEY_BYTES, pattern=r"^[^\x00-\x1f\x7f]*\Z")
]
#: Creates a named tuple in a quarter of the time that its constructor takes.
_new = tuple.__new__
#: Sorts the keys of objects, so that equal payloads have equal keys.
_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


class StoredKey(NamedTuple):
    """A job's unique key, and until when the job holds it."""

    key: str
    until: Until


class UniqueKey(NamedTuple):
    """The unique key that a new job needs. The key has no control characters. `lasts`: for how many
    microseconds it is held if `until` is "time". `replaces`: whether the new job replaces a waiting
    job that has the key; otherwise it gives way."""

    key: _Key
    until: Until
    lasts: Annotated[int, Meta(ge=0, le=MAX_MICROSECONDS)] = 0
    replaces: bool = False

    @property
    def stored(self) -> bytes:
        """What is stored beside the job."""
        return f"{self.until} {self.key}".encode()


def stored_key(stored: object) -> StoredKey | None:
    """Return the unique key in what an engine has stored, or None if that is unreadable."""
    try:
        text = stored.decode() if isinstance(stored, bytes) else stored
    except UnicodeDecodeError:
        return None
    found = _STORED.fullmatch(text) if isinstance(text, str) else None
    return StoredKey(found[2], found[1]) if found else None  # type: ignore[arg-type]  # an Until


@dataclass(frozen=True, slots=True, init=False)
class Unique:
    """At most one job with the same values in these payload fields: `Unique("user")`. Without
    fields, the whole payload counts.

    `until`: "end" (until the job is done, failed, discarded or cancelled), "start" (until a worker
    claims it), or a duration from the dispatch. `conflict`: "skip" dispatches nothing if there is
    such a job; "replace", which needs until="start", deletes the job that waits. Raises
    OptionError.
    """

    fields: tuple[str, ...]
    until: Until
    lasts: int
    replaces: bool
    #: If there is only one field: the beginning of the key's JSON.
    _head: str = field(compare=False, repr=False)

    def __init__(
        self,
        *fields: str,
        until: Literal["end", "start"] | Duration = "end",
        conflict: Literal["skip", "replace"] = "skip",
    ) -> None:
        set_field = object.__setattr__
        set_field(self, "fields", checks.payload_fields(fields, "Unique", OptionError))
        ends = until in ("end", "start")
        set_field(self, "until", until if ends else "time")
        set_field(self, "lasts", 0 if ends else _lasts(until))
        set_field(self, "replaces", _replaces(conflict, until))
        only = self.fields[0] if len(self.fields) == 1 else ""
        set_field(self, "_head", f"{{{_encode(only).decode()}:" if only else "")

    def asked(self, job: str, payload: object, index: int = -1) -> UniqueKey:
        """Return the unique key of a new job with this payload, which `payload.check` has accepted.
        `index`: see `names.path_of`. Raises PayloadError."""
        given: Mapping[str, object] = payload or {}  # type: ignore[assignment]  # it was checked
        fields = self.fields
        try:
            if len(fields) == 1:  # encoding the value alone is faster than a dict with one field
                value = given[fields[0]]
                text = value if type(value) is int else _encode(value).decode()
                key = f"{job} {self._head}{text}}}"
            else:
                chosen = {field: given[field] for field in fields} if fields else given
                key = f"{job} {_encode(chosen).decode()}"
        except KeyError:
            raise lacking(fields, given, f"job {job}: {path_of(index)}", "unique") from None
        if len(key) > MAX_UNIQUE_KEY_BYTES or not key.isascii():
            key = _storable(job, key)
        return _new(UniqueKey, (key, self.until, self.lasts, self.replaces))


def lacking(
    fields: Sequence[str], given: Mapping[str, object], what: str, is_: str
) -> PayloadError:
    """Return the error for a payload without one of these fields. `what`: its name in the error."""
    field = next(field for field in fields if field not in given)
    near = suggestion(field, given, f"add it, or change the fields by which the job is {is_}")
    return PayloadError(f"{what} has no {shown(field)}, by which the job is {is_}; {near}")


def key_of(job: str, chosen: Mapping[str, object]) -> str:
    """Return the key of these fields, whatever characters they contain."""
    return _storable(job, f"{job} {_encode(chosen).decode()}")


def _storable(job: str, key: str) -> str:
    """Return the key, or the job's name and a digest if the key is too long or not printable."""
    if key.isprintable() and len(key.encode()) <= MAX_UNIQUE_KEY_BYTES:
        return key
    digest = sha256(key.encode()).hexdigest()
    short = job.encode()[: MAX_UNIQUE_KEY_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{short} {digest}"


def _lasts(until: object) -> int:
    try:
        lasts = micros(until, "until")
    except DurationError:
        lasts = 0
    if lasts == 0:
        raise OptionError(
            f"until of Unique is {shown(until)}; write 'end', 'start', or a duration above 0 and up"
            " to 100 years, such as '10m'"
        )
    return lasts


def _replaces(conflict: object, until: object) -> bool:
    checks.choice(conflict, "conflict of Unique", ("skip", "replace"))
    if conflict == "replace" and until != "start":
        raise OptionError(
            f"conflict='replace' needs until='start', not {shown(until)}: what runs is not replaced"
        )
    return conflict == "replace"
