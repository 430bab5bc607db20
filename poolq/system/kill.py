"""Signals to processes and groups that may be gone already."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may be gone; then it will be reaped in the next round."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def handles(pid: int, number: signal.Signals) -> bool:
    """False if the signal would end the process at once, as it has no handler for it now."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return True  # it is gone, or there is no such file
    masks = dict(line.split(":", 1) for line in lines if line.startswith("Sig"))
    bit = 1 << (number - 1)
    return any(int(masks.get(name, "0"), 16) & bit for name in ("SigCgt", "SigIgn"))


def kill_group(pid: int) -> None:
    """The whole group; the process alone while it has not made its group yet."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        send(pid, signal.SIGKILL)


def end_group(leader: int, session: int) -> None:
    """Kill what a job has started whose worker, the leader of that group, is dead."""
    if has_members(leader, session):
        kill_group(leader)


def has_members(leader: int, session: int) -> bool:
    """The number of a group is given to no other while it has members; that they are the pool's is
    seen by their session."""
    for pid in psutil.pids():
        with suppress(OSError):
            if os.getpgid(pid) == leader and os.getsid(pid) == session:
                return True
    return False
