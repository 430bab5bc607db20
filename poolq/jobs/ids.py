"""Job ids: UUIDs of version 7 without dashes, which sort in the order in which they are created.

An id begins with the time, in 48 bits of milliseconds and 12 bits of their fraction. Within a
process, this time never goes back. The other 62 bits are random. Their generator is seeded by the
operating system, so ids stay unique even if the application seeds `random`.
"""

import os
from random import Random
from struct import Struct
from time import time_ns
from typing import ClassVar

#: RFC 9562 puts the version into the first half of an id, and the variant into the second.
_VERSION = 7 << 12
_VARIANT = 1 << 63

_pack = Struct(">QQ").pack


class JobId(str):
    """The id of a dispatched job. `new`: whether this dispatch has stored a job. It has not if
    another job already has the unique key; then this is the id of that other job."""

    __slots__ = ()
    new: ClassVar[bool] = True


class HolderId(JobId):
    """The id of a job that already has the unique key of the dispatched job."""

    __slots__ = ()
    new = False


class _Ids:
    """The state of `new_id`. If two threads read the same `last`, their ids differ only in the
    random bits."""

    __slots__ = ("bits", "last")

    def __init__(self) -> None:
        self.last = 0
        self.reseed()

    def reseed(self) -> None:
        """Start a new random sequence, so that a forked child does not repeat its parent's."""
        self.bits = Random(os.urandom(32)).getrandbits

    def new(self) -> str:
        now = time_ns() * 512 // 125_000  # 4096 ticks per millisecond
        if now <= self.last:
            now = self.last + 1
        self.last = now
        return _pack(now >> 12 << 16 | now & 0xFFF | _VERSION, self.bits(62) | _VARIANT).hex()


_ids = _Ids()
os.register_at_fork(after_in_child=_ids.reseed)

#: Returns a new id: 32 hex digits.
new_id = _ids.new
