"""Signals to children that may be gone already; they are reaped in the next round then."""

import os
import signal


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may be gone; then it will be reaped in the next round."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_group(pid: int) -> None:
    """The whole group; the process alone while it has not made its group yet."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        send(pid, signal.SIGKILL)
