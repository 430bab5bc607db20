"""Opening the file, and the clock that its statements use."""

import os
import sqlite3
import stat
import time
from contextlib import suppress
from pathlib import Path

from poolq.engines.sqlite import forks
from poolq.engines.sqlite.options import SQLiteOptions
from poolq.errors import EngineError

MIN_SQLITE_VERSION = (3, 35)
#: Pages in the log before they are moved to the database: 16 MB, so that the disk waits seldom.
CHECKPOINT_PAGES = 4000
#: Bytes that the log is cut to when it was longer.
MAX_LOG_BYTES = 64 << 20
#: Less the umask: jobs are data, and who may change them decides what is run. SQLite gives the
#: files beside the database the same.
FILE_MODE = 0o660


def now() -> int:
    """Microseconds since the epoch by this host's clock: a file has no server."""
    return time.time_ns() // 1000


def connect(options: SQLiteOptions) -> sqlite3.Connection:
    """Open the file, making it where there is none. Raises sqlite3.Error, EngineError."""
    if sqlite3.sqlite_version_info < MIN_SQLITE_VERSION:
        raise EngineError(
            f"this Python has SQLite {sqlite3.sqlite_version}, poolq needs 3.35 or newer;"
            " use a newer Python, or another engine"
        )
    if forks.refused(options.file):
        raise EngineError(
            f"{options.file}: this process was forked while a thread of its parent was in the"
            " middle of a transaction that did not end; start a new process to use the file"
        )
    _make(options.file)
    raw = sqlite3.connect(
        options.file,
        timeout=0,  # write_lock.py waits, not the library
        isolation_level=None,
        check_same_thread=False,  # a fork closes the connections of all threads
        cached_statements=256,
    )
    raw.create_function("poolq_now", 0, now, deterministic=True)  # within a statement
    return raw


def _make(file: Path) -> None:
    """SQLite would make it readable for all. Not opened here: to close a file drops the locks that
    this process has on it."""
    with suppress(OSError):  # it is there, or SQLite says better why it cannot be
        os.mknod(file, stat.S_IFREG | FILE_MODE)


def tune(raw: sqlite3.Connection, options: SQLiteOptions) -> None:
    """Set what a connection that is used should have; may find the database busy."""
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute(f"PRAGMA synchronous = {options.synchronous}")
    raw.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    raw.execute(f"PRAGMA journal_size_limit = {MAX_LOG_BYTES}")
