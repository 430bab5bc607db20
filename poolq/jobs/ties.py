"""Ties: the rights that a job owns, which are stored beside it as JSON.

A right hangs on its job or on the job's claim, and ends in the act that ends that. So nothing has
to be swept, and nothing is left over if a process dies. A right whose job is gone is void, whoever
looks at it. Jobs without rights have no ties, and cost nothing.

`unique`: the job's unique key. Until its end, a job holds it from the dispatch until it is done,
failed, discarded or cancelled. Until its start, it holds the key while it waits; a claim frees it.
A job that returns takes its key again, or goes on without it if another job has it. A key that is
held for a time is independent of the job: it ends by the clock.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from poolq.common.durations import MAX_MICROSECONDS
from poolq.common.lengths import MAX_UNIQUE_KEY_BYTES
from poolq.jobs.message import UNREADABLE, Push

Until = Literal["start", "end", "time"]
_Key = Annotated[
    str, Meta(min_length=1, max_length=MAX_UNIQUE_KEY_BYTES, pattern=r"^[^\x00-\x1f\x7f]*\Z")
]


class UniqueTie(msgspec.Struct, frozen=True):
    """A job's unique key, and until when the job holds it."""

    key: str
    until: Until


class Ties(msgspec.Struct, frozen=True, omit_defaults=True):
    """All rights of a job."""

    unique: UniqueTie | None = None


class UniqueRight(NamedTuple):
    """What a new job asks for: a unique key, which contains no control characters. `lasts`: for how
    many microseconds, if `until` is "time". `replaces`: whether the job replaces a waiting one that
    has the key, or gives way."""

    key: _Key
    until: Until
    lasts: Annotated[int, Meta(ge=0, le=MAX_MICROSECONDS)] = 0
    replaces: bool = False

    @property
    def ties(self) -> bytes:
        """The ties of a job with this right, as they are stored."""
        return tie(self.key, self.until)


class TiedPush(NamedTuple):
    """A job to store, if nobody else has its unique key. Without a right, it is always stored."""

    push: Push
    unique: UniqueRight | None


class UniquePushes(NamedTuple):
    """Jobs to store, each if nobody else has its key in `keys`. The rest is the same for all, see
    UniqueRight. They are apart, because a value for each job and its right takes long to make."""

    pushes: Sequence[Push]
    keys: Sequence[str]
    until: Until
    lasts: int = 0
    replaces: bool = False

    @property
    def ties(self) -> list[bytes]:
        """The ties of these jobs, as they are stored."""
        end = _ENDS[self.until]
        return [_BEGIN + encode(key) + end for key in self.keys]

    def part(self, start: int, end: int) -> "UniquePushes":
        if start == 0 and end >= len(self.keys):
            return self
        return self._replace(pushes=self.pushes[start:end], keys=self.keys[start:end])

    def tied(self) -> list[TiedPush]:
        return [
            TiedPush(push, UniqueRight(key, *self[2:]))
            for push, key in zip(self.pushes, self.keys, strict=True)
        ]


NO_TIES = Ties()
_BEGIN = b'{"unique":{"key":'
_ENDS = {until: b',"until":"%b"}}' % until.encode() for until in get_args(Until)}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Ties)

encode = _encoder.encode


def tie(key: str, until: Until) -> bytes:
    """Return the ties of a job with this unique key: what `encode` would return, in less time."""
    return _BEGIN + encode(key) + _ENDS[until]


def together(pushes: Sequence[TiedPush]) -> UniquePushes | None:
    """Return these jobs as UniquePushes, if they are all unique, by the same rules."""
    rights = [right for _, right in pushes if right is not None]
    rules = {right[1:] for right in rights}
    if len(rights) < len(pushes) or len(rules) != 1:
        return None
    keys = [right.key for right in rights]
    return UniquePushes([push for push, _ in pushes], keys, *rights[0][1:])


def decode(stored: object) -> Ties:
    """Return the ties in what an engine has stored. What is unreadable is no right."""
    if not stored:
        return NO_TIES
    try:
        return _decoder.decode(stored if isinstance(stored, bytes | str) else b"")
    except UNREADABLE:
        return NO_TIES
