"""What a node tells the others of itself, and what it makes of them."""

import os
import socket

import msgspec

from poolq.worker import identity

Process = tuple[str, str, int, int]


class Info(msgspec.Struct, frozen=True):
    """A process is (boot, pid namespace, pid, start ticks)."""

    pool: str
    host: str
    master: Process
    keeper: Process


def about_us(pool: str) -> bytes:
    """For the keeper to say."""
    place = (identity.boot_id(), identity.pid_namespace())
    master, me = os.getppid(), os.getpid()
    return msgspec.json.encode(
        Info(
            pool,
            socket.gethostname(),
            (*place, master, identity.started(master) or 0),
            (*place, me, identity.started(me) or 0),
        )
    )


def is_gone(info: bytes) -> bool:
    """True if master and keeper of a pool ran here and are no more. While either lives, it knows
    more of its dead workers than we do."""
    found = _read(info)
    return found is not None and all(
        identity.gone_here(*process) for process in (found.master, found.keeper)
    )


def namesake(info: bytes, pool: str) -> int:
    """The master's pid if it runs here and its pool has that name, else 0. Its runtime folder must
    be another one, since a name is held but once in each."""
    found = _read(info)
    if found is None or found.pool != pool:
        return 0
    boot, space, pid, since = found.master
    here = (boot, space) == (identity.boot_id(), identity.pid_namespace())
    return pid if here and identity.started(pid) == since else 0


def _read(info: bytes) -> Info | None:
    try:
        return msgspec.json.decode(info, type=Info)
    except msgspec.DecodeError:
        return None
