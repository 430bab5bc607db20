"""How a pool's master is found on its host even if somebody has deleted its lock file.

The master holds a marker: memory that is named after folder and pool, and that nobody else can
remove. A new pool first takes the lock and creates its own marker, then looks for other markers in
the processes of its user. So if two pools lock two files of one name, one at least sees the other.
"""

import os
from contextlib import suppress
from pathlib import Path


def create_marker(folder: Path, name: str) -> int:
    """Create a marker; return its descriptor, which every child must close."""
    return os.memfd_create(_called(folder, name), os.MFD_CLOEXEC)


def other_holders(folder: Path, name: str) -> list[int]:
    """Return the pids of other processes that have such a marker. Consider only this user's, and
    only this mount namespace, because containers may have different folders of the same name."""
    link = f"/memfd:{_called(folder, name)} (deleted)"
    me, user, here = str(os.getpid()), os.geteuid(), _mounts("self")
    found = []
    with os.scandir("/proc") as entries:
        for entry in entries:
            if not entry.name.isdecimal() or entry.name == me:
                continue
            with suppress(OSError):  # the process has ended
                if entry.stat().st_uid == user and _has(entry.path, link):
                    found += [int(entry.name)] if _mounts(entry.name) == here else []
    return found


def _called(folder: Path, name: str) -> str:
    import hashlib  # slow to import, and not needed to look for a pool

    place = os.path.realpath(folder) + "\0" + name
    return f"poolq-pool-{hashlib.sha256(place.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"


def _has(process: str, link: str) -> bool:
    for fd in os.listdir(f"{process}/fd"):  # noqa: PTH208  # called for all processes: Path takes three times as long
        with suppress(OSError):  # it was closed meanwhile
            if os.readlink(f"{process}/fd/{fd}") == link:  # noqa: PTH115  # as above
                return True
    return False


def _mounts(pid: str) -> str:
    return str(Path(f"/proc/{pid}/ns/mnt").readlink())
