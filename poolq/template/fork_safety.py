"""What the import of an application has left in its process that forked workers must not share:
threads and connections. A thread does not exist in a child, although its locks do. On a connection,
several workers would speak at once.
"""

import os
import socket
import threading
import warnings
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path


def sockets() -> frozenset[int]:
    """Return the inodes of the sockets that are open in this process."""
    return frozenset(inode for inode, _ in _open_sockets())


def obstacle(allowed: AbstractSet[int]) -> str:
    """Return why a process that has imported an application must not be forked, or "". `allowed`:
    the sockets that were open before the import, such as a log that is a socket."""
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate()[1:])
        return f"the import left threads running ({names})"
    if names := ", ".join(_native_threads()):
        return f"the import left threads of a library running ({names})"
    for inode, fd in _open_sockets():
        if inode not in allowed and (peer := _peer(fd)):
            return f"the import left a connection open (to {peer})"
    return ""


def _native_threads() -> list[str]:
    """Return the names, as the kernel knows them, of threads that Python has not started. Libraries
    that are made for forks, such as OpenBLAS, end their threads before a fork. So this function
    forks once before it looks."""
    if len(list(Path("/proc/self/task").iterdir())) == 1:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks beside threads
        child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    names = []
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != os.getpid():
            with suppress(OSError):  # it has just ended
                names.append((task / "comm").read_text().strip())
    return names


def _open_sockets() -> list[tuple[int, int]]:
    """Return inode and descriptor of each open socket."""
    pairs = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the descriptor of the listing is closed by now
            if entry.is_socket():
                pairs.append((entry.stat().st_ino, int(entry.name)))
    return pairs


def _peer(fd: int) -> str:
    """Return the address of a connection's other end; "" if the socket is no connection to a
    server. It may listen, be one end of a pair, or send datagrams to a syslog."""
    with socket.socket(fileno=os.dup(fd)) as held:
        try:
            address = held.getpeername()
        except OSError:
            return ""
        if held.family in (socket.AF_INET, socket.AF_INET6):
            return str(address[0])
        if held.family != socket.AF_UNIX or held.type != socket.SOCK_STREAM:
            return ""
        return os.fsdecode(address).replace("\0", "@")
