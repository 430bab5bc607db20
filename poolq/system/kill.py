"""Sends signals to processes and groups that may have ended already."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process. If it has ended, do nothing, because the next round reaps it."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def has_handler(pid: int, number: signal.Signals) -> bool:
    """Return False if the signal would end the process at once, for lack of a handler."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return True  # it has ended, or the system has no such file
    masks = dict(line.split(":", 1) for line in lines if line.startswith("Sig"))
    bit = 1 << (number - 1)
    return any(int(masks.get(name, "0"), 16) & bit for name in ("SigCgt", "SigIgn"))


def kill_group(pid: int) -> None:
    """Kill the process group, or only the process if it has not created its group yet."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        send(pid, signal.SIGKILL)


def end_group(leader: int, session: int) -> None:
    """Kill what the job of a dead worker has started. `leader`: the worker's pid."""
    if has_members(leader, session):
        kill_group(leader)


def has_members(leader: int, session: int) -> bool:
    """Return whether processes of this session are in that group. A group's number is not reused
    while it has members, and the session shows that they belong to the pool."""
    import psutil  # slow

    for pid in psutil.pids():
        with suppress(OSError):
            if os.getpgid(pid) == leader and os.getsid(pid) == session:
                return True
    return False
