"""How often systemd's watchdog hears of a pool, by the master's own clock."""

from __future__ import annotations

import socket
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from poolq.master.systemd import SystemdNotifier
from tests.support.simulated_pool import running


def test_the_watchdog_is_notified_twice_in_its_interval(tmp_path: Path) -> None:
    address, pool, now, pets = str(tmp_path / "notify"), running(1).pool, 1000.0, []
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(address)
        systemd.setblocking(False)
        notifier = SystemdNotifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
        assert notifier._socket is not None
        with closing(notifier._socket):
            while len(pets) < 6:
                notifier.notify(pool, now)
                if b"WATCHDOG=1" in received(systemd):
                    pets.append(now)
                now += min(notifier.next_due(now), 0.1)
    assert all(later - one <= 0.5 + 1e-6 for one, later in pairwise(pets))
    assert pets[-1] - pets[0] > 2.4, "and not all the time"


def received(systemd: socket.socket) -> bytes:
    try:
        return systemd.recv(65536)
    except BlockingIOError:
        return b""
