"""What the import of an application has left in its process that forked workers must not share:
threads, which do not exist in a child although their locks do, and connections, on which several
workers would speak at once.
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


def obstacle(known: AbstractSet[int]) -> str:
    """Return why a process that has imported an application must not be forked, or "". `known`: the
    sockets that were open before the import, such as a log that is a socket."""
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate()[1:])
        return f"the import left threads running ({names})"
    if names := ", ".join(_native_threads()):
        return f"the import left threads of a library running ({names})"
    for inode, fd in _open_sockets():
        if inode not in known and (peer := _peer(fd)):
            return f"the import left a connection open (to {peer})"
    return ""


def _native_threads() -> list[str]:
    """Return the names, as the kernel knows them, of threads that Python has not started. Libraries
    that are made for forks, such as OpenBLAS, end theirs before a fork, so this tries one."""
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
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself is closed by now
            if entry.is_socket():
                found.append((entry.stat().st_ino, int(entry.name)))
    return found


def _peer(fd: int) -> str:
    """Return the address of a connection's other end. It is "" for what is no connection to a
    server: a socket that listens, one end of a pair, or that of a syslog, which takes datagrams."""
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
