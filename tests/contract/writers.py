"""What many writers do at once; importable by the processes that do it."""

from __future__ import annotations

import time
from contextlib import closing

from tests.contract.helpers import open_engine, push


def push_for(member: int, url: str, namespace: str, seconds: float) -> tuple[int, float]:
    """Push without pause, every other member thousands at a time. Returns how often, and the
    seconds that the longest push took."""
    names = ["x"] * (3000 if member % 2 else 1)
    times, longest = 0, 0.0
    with closing(open_engine(url, namespace)) as engine:
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            push(engine, *names)
            times += 1
            longest = max(longest, time.monotonic() - began)
    return times, longest
