"""Waiting for descriptors. `poll`, because `select` cannot hold numbers of 1024 and more."""

import select
from collections.abc import Iterable


def readable(fds: Iterable[int], timeout: float) -> set[int]:
    """Those that can be read (or have ended), waiting for at most `timeout` seconds."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(max(0.0, timeout) * 1000)}
