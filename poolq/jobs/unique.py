"""Unique jobs as values: what a job declares, and the key of a payload (pure).

The key is computed once, at the dispatch. Engines make sure that only one job has it
(`Engine.push`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

import msgspec

from poolq.common import checks
from poolq.common.durations import Duration, micros
from poolq.common.escaping import shown
from poolq.common.lengths import MAX_UNIQUE_KEY_BYTES
from poolq.common.names import path_of, suggestion
from poolq.errors import DurationError, OptionError, PayloadError
from poolq.jobs.ties import UniqueKey, Until

#: Creates a named tuple in a quarter of the time that its constructor takes.
_new = tuple.__new__
#: Sorts the keys of objects, so that equal payloads have equal keys.
_encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


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
    #: How the JSON of the only field begins.
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
        """Return what a new job with this payload asks for. Raises as `key` does."""
        key = self.key(job, payload, index)
        return _new(UniqueKey, (key, self.until, self.lasts, self.replaces))

    def key(self, job: str, payload: object, index: int = -1) -> str:
        """Return the unique key of a job with this payload, which `payload.check` has accepted.
        `index`: see `names.path_of`. Raises PayloadError."""
        given: Mapping[str, object] = payload or {}  # type: ignore[assignment]  # it was checked
        fields = self.fields
        try:
            if len(fields) == 1:  # without an object of this field, which takes longer
                value = given[fields[0]]
                text = value if type(value) is int else _encode(value).decode()
                key = f"{job} {self._head}{text}}}"
            else:
                chosen = {field: given[field] for field in fields} if fields else given
                key = f"{job} {_encode(chosen).decode()}"
        except KeyError:
            raise lacking(fields, given, f"job {job}: {path_of(index)}", "unique") from None
        if len(key) > MAX_UNIQUE_KEY_BYTES or not key.isascii():
            return _storable(job, key)
        return key


def lacking(
    fields: Sequence[str], given: Mapping[str, object], what: str, is_: str
) -> PayloadError:
    """Return the error of a payload, called `what`, that lacks one of these fields."""
    field = next(field for field in fields if field not in given)
    near = suggestion(field, given, f"add it, or change the fields by which the job is {is_}")
    return PayloadError(f"{what} has no {shown(field)}, by which the job is {is_}; {near}")


def key_of(job: str, chosen: Mapping[str, object]) -> str:
    """Return the key of these fields, whatever characters they contain."""
    return _storable(job, f"{job} {_encode(chosen).decode()}")


def _storable(job: str, key: str) -> str:
    """Return the key, which is readable unless it is too long or cannot be shown."""
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
