"""What processes have cost in CPU, as the kernel counts it, those that have ended included.

A tree is its roots, all their descendants, and whoever is in a session of theirs: who was orphaned
is found by that. The driver is the subreaper of all, and lets zombies lie until a run is over, so
that nothing a process used gets lost: a live or dead member's own time and that of the children it
has reaped are read from /proc. Times are in seconds, in steps of the kernel's tick (10 ms).
"""

import ctypes
import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36


class Member(NamedTuple):
    """A process; `cpu` in seconds, with its reaped children's."""

    pid: int
    parent: int
    session: int
    state: str
    cpu: float


def adopt_orphans() -> None:
    """Be the parent of all that lose theirs, so that their times can still be read."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _all() -> Iterator[Member]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield _read(int(entry.name), (entry / "stat").read_bytes())


def _read(pid: int, stat: bytes) -> Member:
    words = stat[stat.rindex(b")") + 2 :].split()
    cpu = sum(int(word) for word in words[11:15]) / TICK
    return Member(pid, int(words[1]), int(words[3]), words[0].decode(), cpu)


def tree(roots: Collection[int]) -> list[Member]:
    """The members of these roots' trees, zombies included."""
    everybody = {one.pid: one for one in _all()}

    def belongs(one: Member) -> bool:
        while True:
            if one.pid in roots or one.session in roots:
                return True
            above = everybody.get(one.parent)
            if above is None or above.pid == one.pid:
                return False
            one = above

    return [one for one in everybody.values() if belongs(one)]


def pids(roots: Collection[int]) -> list[int]:
    """Who is alive in these roots' trees."""
    return [one.pid for one in tree(roots) if one.state != "Z"]


def cpu(roots: Collection[int]) -> float:
    """CPU seconds that these trees have used up to now."""
    return sum(one.cpu for one in tree(roots))


def exact(pids: Collection[int]) -> dict[int, int]:
    """Nanoseconds of CPU that the threads of these processes have used, by pid: for the little that
    idle ones use. What ended meanwhile is not in it."""
    found = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = sum(
                int((thread / "schedstat").read_text().split()[0])
                for thread in Path(f"/proc/{pid}/task").iterdir()
            )
    return found


def end(roots: Collection[int]) -> None:
    """Kill the trees, and reap whoever was left to us; the roots are their starter's to reap."""
    for _ in range(5):
        members = [one for one in tree(roots) if one.state != "Z"]
        for one in members:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        if not members:
            break
    for one in tree(roots):
        if one.parent == os.getpid() and one.pid not in roots:
            with suppress(ChildProcessError):
                os.waitpid(one.pid, 0)
