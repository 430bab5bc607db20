"""Ids of jobs: UUIDs of version 7 without dashes, so that text order is the order of making.

The 60 bits in front are the time (48 bits of milliseconds, 12 of their fraction) and never go
back within a process; 62 random bits follow. Random means the system's, not `random`'s: an
application that seeds `random` still gets ids of its own.
"""

import os
from random import Random
from struct import Struct
from time import time_ns

#: Those of RFC 9562: version 7 in the first half, the variant in the second.
_VERSION = 7 << 12
_VARIANT = 1 << 63

_pack = Struct(">QQ").pack


class _Ids:
    """The state behind `new_id`.

    Two threads may see the same `last`: their ids then differ in the random part only.
    """

    __slots__ = ("bits", "last")

    def __init__(self) -> None:
        self.last = 0
        self.reseed()

    def reseed(self) -> None:
        """A forked child must not draw what its parent draws."""
        self.bits = Random(os.urandom(32)).getrandbits

    def new(self) -> str:
        now = time_ns() * 512 // 125_000  # 4096 ticks a millisecond
        if now <= self.last:
            now = self.last + 1
        self.last = now
        return _pack(now >> 12 << 16 | now & 0xFFF | _VERSION, self.bits(62) | _VARIANT).hex()


_ids = _Ids()
os.register_at_fork(after_in_child=_ids.reseed)

#: 32 hex digits.
new_id = _ids.new
