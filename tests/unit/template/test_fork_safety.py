"""What an import leaves that forked workers must not share. Each case has a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

NATIVE_THREAD = """
import ctypes
libc = ctypes.CDLL(None)
thread = ctypes.c_ulong()
libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)
libc.pthread_setname_np(thread, b"native")
"""
ENDS_BEFORE_FORKS = """
def end():
    libc.pthread_cancel(thread)
    libc.pthread_join(thread, None)
os.register_at_fork(before=end)
"""
CONNECTS = """
client = socket.socket(socket.AF_UNIX, socket.{})
client.connect("server")
"""


def obstacle(code: str, before: str = "", folder: Path | None = None) -> str:
    """`before`: what runs before the import that has this code."""
    script = (
        f"import os, socket, threading\nfrom poolq.template import fork_safety\n{before}\n"
        f"known = fork_safety.sockets()\n{code}\nprint(fork_safety.obstacle(known))\nos._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-u", "-c", script],
        cwd=folder, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.strip()


def test_threads_of_python_and_of_libraries() -> None:
    started = "threading.Thread(target=threading.Event().wait, name='mine', daemon=True).start()"
    assert obstacle(started) == "the import left threads running (mine)"
    assert obstacle(NATIVE_THREAD) == "the import left threads of a library running (native)"
    assert obstacle(NATIVE_THREAD + ENDS_BEFORE_FORKS) == "", "as OpenBLAS does"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_connections_over_ip(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        connects = f"client = socket.create_connection({server.getsockname()[:2]})"
        assert obstacle(connects) == f"the import left a connection open (to {address})"


def test_connections_over_unix_sockets(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "server"))
        server.listen()
        connects = CONNECTS.format("SOCK_STREAM")
        left = f"the import left a connection open (to {tmp_path}/server)"
        assert obstacle(connects, folder=tmp_path) == left
        assert obstacle("", before=connects, folder=tmp_path) == "", "as stderr may be"


def test_sockets_that_are_no_connection_to_a_server(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "server"))
        assert obstacle(CONNECTS.format("SOCK_DGRAM"), folder=tmp_path) == "", "as a syslog's"
    assert obstacle("pair = socket.socketpair()") == ""
    assert obstacle("server = socket.create_server(('127.0.0.1', 0))") == ""
