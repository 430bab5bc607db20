"""Signals to children that may be gone already; they are reaped in the next round then."""

import os
import signal
from pathlib import Path


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
