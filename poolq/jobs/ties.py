"""Unique keys, and the ties of a job: the key that it holds, which is stored beside it as JSON.

A key hangs on its job or on the job's claim, and ends in the act that ends that. So nothing has to
be swept, and nothing is left over if a process dies. A key whose job is gone is void, whoever looks
at it. Jobs without a unique key have no ties, and cost nothing.

Until its end, a job holds its key from the dispatch until it is done, failed, discarded or
cancelled. Until its start, it holds the key while it waits; a claim frees it. A job that returns
takes its key again, or goes on without it if another job has it. A key that is held for a time is
independent of the job: it ends by the clock.
"""

from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from poolq.common.durations import MAX_MICROSECONDS
from poolq.common.lengths import MAX_UNIQUE_KEY_BYTES
from poolq.common.unreadable import UNREADABLE

Until = Literal["start", "end", "time"]
_Key = Annotated[
    str, Meta(min_length=1, max_length=MAX_UNIQUE_KEY_BYTES, pattern=r"^[^\x00-\x1f\x7f]*\Z")
]


class UniqueTie(msgspec.Struct, frozen=True):
    """A job's unique key, and until when the job holds it."""

    key: str
    until: Until


class Ties(msgspec.Struct, frozen=True, omit_defaults=True):
    """The unique key of a job, if it has one."""

    unique: UniqueTie | None = None


class UniqueKey(NamedTuple):
    """What a new job asks for: a unique key, which contains no control characters. `lasts`: for how
    many microseconds, if `until` is "time". `replaces`: whether the job replaces a waiting one that
    has the key, or gives way."""

    key: _Key
    until: Until
    lasts: Annotated[int, Meta(ge=0, le=MAX_MICROSECONDS)] = 0
    replaces: bool = False

    @property
    def ties(self) -> bytes:
        """The ties of a job with this key: what `encode` would return, in less time."""
        return _BEGIN + encode(self.key) + _ENDS[self.until]


NO_TIES = Ties()
_BEGIN = b'{"unique":{"key":'
_ENDS = {until: b',"until":"%b"}}' % until.encode() for until in get_args(Until)}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Ties)

encode = _encoder.encode


def decode(stored: object) -> Ties:
    """Return the ties in what an engine has stored. What is unreadable is no unique key."""
    if not stored:
        return NO_TIES
    try:
        return _decoder.decode(stored if isinstance(stored, bytes | str) else b"")
    except UNREADABLE:
        return NO_TIES
