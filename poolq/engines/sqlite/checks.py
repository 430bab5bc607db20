"""The checks of `poolq doctor` for a SQLite file."""

import shutil
import sqlite3
from pathlib import Path

from poolq.engines.base import Check, ServerInfo
from poolq.engines.sql import effects
from poolq.engines.sql.session import Query
from poolq.engines.sqlite.schema import SQLiteSchema
from poolq.engines.sqlite.session import SQLiteSession

SYNCHRONOUS_LEVELS = {
    0: ("warn", "OFF: a power cut may damage the file"),
    1: ("ok", "NORMAL: survives the death of any process; a power cut may lose the last commits"),
    2: ("ok", "FULL: every commit waits for the disk"),
    3: ("ok", "EXTRA: every commit waits for the disk"),
}
#: Types of network file systems, whose locks SQLite cannot rely on.
REMOTE_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "ceph", "gluster", "afs", "lustre")
LOW_BYTES, FULL_BYTES = 100 << 20, 1 << 20
MOUNTS = Path("/proc/self/mounts")


def checks(session: SQLiteSession, schema: SQLiteSchema) -> list[Check]:
    found = session.read(Query("PRAGMA journal_mode"), Query("PRAGMA synchronous"))
    (mode,), (level,) = (result.rows[0] for result in found)
    file = session.options.file
    return [
        Check("reachable", "ok", f"{file}, SQLite {sqlite3.sqlite_version}"),
        schema.check(),
        *effects.checks(session),
        Check("isolation", "ok", "one writer at a time; others wait in line"),
        _journal(mode),
        Check("durability", *SYNCHRONOUS_LEVELS.get(level, ("warn", f"synchronous is {level}"))),
        _file_system(file),
        _disk_space(file),
        Check("clock", "ok", "this host's own; all workers must run on this host"),
    ]


def server(session: SQLiteSession) -> ServerInfo:
    pages, size = session.read(Query("PRAGMA page_count"), Query("PRAGMA page_size"))
    return ServerInfo(f"SQLite {sqlite3.sqlite_version}", pages.rows[0][0] * size.rows[0][0])


def _journal(mode: str) -> Check:
    if mode == "wal":
        return Check("journal", "ok", "WAL: readers never wait")
    return Check(
        "journal", "warn", f"{mode}, not WAL: readers and writers wait for each other; the file"
        " system may lack shared memory"
    )  # fmt: skip


def _file_system(file: Path) -> Check:
    kind = filesystem(file, MOUNTS.read_text("utf-8", "replace") if MOUNTS.exists() else "")
    if kind.startswith(REMOTE_FILE_SYSTEMS):
        return Check(
            "place", "bad", f"{file.parent} is on {kind}, whose locks are unreliable: use a file on"
            " a local disk, or a server: PostgreSQL, MySQL or Redis"
        )  # fmt: skip
    return Check("place", "ok", f"{file.parent} is on {kind or 'an unknown file system'}")


def filesystem(file: Path, mounts: str) -> str:
    """Return the type of a file's file system, or "" if /proc/self/mounts does not contain it."""
    best, kind = "", ""
    for line in mounts.splitlines():
        _, point, this, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if file.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, this
    return kind


def _disk_space(file: Path) -> Check:
    free = shutil.disk_usage(file.parent).free
    level = "ok" if free >= LOW_BYTES else "warn" if free >= FULL_BYTES else "bad"
    full = ": no job can be stored once the file must grow" * (level == "bad")
    return Check("room", level, f"{free // (1 << 20)} MiB free on its disk{full}")
