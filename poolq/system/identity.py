"""The identity of a process on its host, by which other processes tell whether it still lives."""

import os
import pwd
import secrets
import socket
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path

from poolq.engines.base import Registration

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def node_id() -> str:
    """Return a random id for a start of a pool. A restarted pool is another node."""
    return secrets.token_hex(6)


@cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> str:
    """Return the namespace in which this process's pid is valid."""
    return str(Path("/proc/self/ns/pid").readlink())


def start_time(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None if it has ended or is hidden
    from this user."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in b"ZX" else int(fields[19])


def is_runnable(pid: int) -> bool:
    """Return whether the process runs, or would run if it had a processor."""
    return state(pid) == b"R"


def state(pid: int) -> bytes:
    """Return the state of a process as the kernel's letter; X if it has ended."""
    with suppress(OSError):
        if fields := _stat(pid):
            return fields[0]
    return b"X"


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of a process's `stat` from its state on; None if it has ended or is hidden
    from this user. (With hidepid=1, the file cannot be read. With 2 or 4, it is not there.)"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return stat[stat.rindex(b")") + 2 :].split()


def resident_memory(pid: int) -> int:
    """Return the process's resident memory in bytes; 0 if it has ended."""
    try:
        file = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(file, 200).split()[1]) * PAGE_BYTES
    except OSError:
        return 0
    finally:
        os.close(file)


def cpu_ticks(pid: int) -> int:
    """Return the processor time that the process has used, in clock ticks; 0 if it has ended."""
    with suppress(OSError):
        if fields := _stat(pid):
            return int(fields[11]) + int(fields[12])
    return 0


@cache
def user_names() -> dict[int, str]:
    """Return the names of root and of this process's user, by user id. Only these two can connect
    to the socket of a pool, and looking up others could wait for a directory server."""
    user = os.geteuid()
    try:
        return {0: "root", user: pwd.getpwuid(user).pw_name}
    except KeyError:
        return {0: "root"}


def peer_name(line: socket.socket) -> str:
    """Return the name of the user whose process has opened the other end of a local socket."""
    _, uid, _ = struct.unpack("iII", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user_names().get(uid) or f"user {uid}"


def registration(worker: str, node: str, pool: str) -> Registration:
    pid = os.getpid()
    return Registration(
        worker=worker,
        node=node,
        host=socket.gethostname(),
        pool=pool,
        boot=boot_id(),
        pidns=pid_namespace(),
        pid=pid,
        started=start_time(pid) or 0,
    )


def is_local(worker: Registration) -> bool:
    """Return whether the worker runs, or ran, in this boot and pid namespace."""
    return (worker.boot, worker.pidns) == (boot_id(), pid_namespace())


def is_gone(worker: Registration) -> bool:
    """Return whether the worker ran in this boot and pid namespace and its process has ended."""
    return is_gone_here(worker.boot, worker.pidns, worker.pid, worker.started)


def is_gone_here(boot: str, pidns: str, pid: int, since: int) -> bool:
    """Return whether that process ran in this boot and pid namespace and has ended. Return False
    for a process hidden by hidepid or ProtectProc; only missing heartbeats show its end."""
    if (boot, pidns) != (boot_id(), pid_namespace()):
        return False
    started = start_time(pid)
    return started != since and not (started is None and _hidden(pid))


def _hidden(pid: int) -> bool:
    """Return whether a process has this pid although its `stat` cannot be read."""
    if pid <= 0 or _stat(pid) is not None:
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    except OverflowError:  # no process has such a high number
        return False
    return True


def worker_name(node: str, seq: int) -> str:
    """Return a name that is never used twice, since a node's id is random and forks are counted."""
    return f"{node}:{seq}"
