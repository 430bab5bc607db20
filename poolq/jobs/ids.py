"""Job ids: UUIDs of version 7 without dashes, which sort in the order in which they are created.

The first 60 bits are the time (48 bits of milliseconds, 12 of their fraction), which never goes
back within a process; 62 random bits follow. Their generator has its own seed from the operating
system, so ids stay unique even if the application seeds `random`.
"""

import os
from random import Random
from struct import Struct
from time import time_ns

#: RFC 9562 puts the version into the first half of an id, and the variant into the second.
_VERSION = 7 << 12
_VARIANT = 1 << 63

_pack = Struct(">QQ").pack


class _Ids:
    """The state of `new_id`. Two threads may read the same `last`; their ids then differ only in
    the random bits."""

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
