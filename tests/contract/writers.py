"""What a crowd of writers does; importable by the processes that do it."""

from __future__ import annotations

import time
from contextlib import closing

from tests.contract.helpers import open_engine, push


def push_for(member: int, url: str, namespace: str, seconds: float) -> tuple[int, float]:
    """Push without pause, every other member thousands at a time: how often, and how long the
    longest took in seconds."""
    names = ["x"] * (3000 if member % 2 else 1)
    times, longest = 0, 0.0
    with closing(open_engine(url, namespace)) as engine:
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            push(engine, *names)
            times += 1
            longest = max(longest, time.monotonic() - began)
    return times, longest
