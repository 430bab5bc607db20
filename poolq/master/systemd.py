"""Tells systemd (sd_notify) the pool's state, and systemd's watchdog that the master's loop runs.
The master never waits for systemd. A message that cannot be sent now is sent later, or not at all.
"""

import os
import socket
from collections.abc import MutableMapping
from math import inf

from poolq.master.state import Mode, Pool


class SystemdNotifier:
    """Removes systemd's variables from `environ`, so that no child can send in the master's name.
    Without these variables, nothing is sent."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self._address = address.replace("@", "\0", 1) if address[:1] == "@" else address
        watched = usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
        self._interval = int(usec) / 2e6 if watched and address else inf
        self._watchdog_at = -inf
        self._state = self._status = ""
        kind, usable = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, address[:1] in ("@", "/")
        self._socket = socket.socket(socket.AF_UNIX, kind) if usable else None

    def notify(self, pool: Pool, now: float) -> None:
        """Send what has changed. To be called in each turn of the master's loop."""
        if self._socket is None:
            return
        lines = []
        state, status = state_of(pool, now), f"STATUS={status_text(pool)}"
        if state != self._state:
            lines += [line.format(now=round(now * 1e6)) for line in state.splitlines()]
        if status != self._status:
            lines.append(status)
        if now - self._watchdog_at >= self._interval:
            self._watchdog_at = now
            lines.append("WATCHDOG=1")
        if lines and self._send("\n".join(lines)):
            self._state, self._status = state, status

    def next_due(self, now: float) -> float:
        """Seconds until the watchdog is due."""
        return max(0.0, self._watchdog_at + self._interval - now) if self._interval < inf else inf

    def _send(self, text: str) -> bool:
        """Send to systemd. Returns False if systemd is restarting, or if its queue is full."""
        assert self._socket is not None
        try:
            self._socket.sendto(text.encode("utf-8", "replace"), self._address)
        except OSError:
            return False
        return True


def state_of(pool: Pool, now: float) -> str:
    """The pool's state in systemd's terms. The text differs for each reload, so that each reload is
    sent. The caller must replace `{now}` by the time of sending, in microseconds."""
    trial = pool.trial
    if pool.mode is not Mode.RUN:
        return "STOPPING=1"
    if not pool.generation:
        return ""
    if trial is not None and now >= trial.not_before:
        return f"RELOADING=1\nMONOTONIC_USEC={{now}}\nX_GENERATION={trial.generation}"
    return "READY=1"


def status_text(pool: Pool) -> str:
    """One line for `systemctl status`."""
    ready = sum(proc.ready and proc.serving for proc in pool.procs())
    text = f"{pool.label()}, {ready} of {pool.target()} workers ready, generation {pool.generation}"
    if pool.refusal:
        text += f"; the last reload was refused: {' '.join(pool.refusal.split())}"
    return text
