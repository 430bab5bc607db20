"""Opens the file, and provides the clock for its statements."""

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from poolq.engines.sqlite import forks
from poolq.engines.sqlite.options import SQLiteOptions
from poolq.errors import EngineError
from poolq.jobs.clock import now

MIN_SQLITE_VERSION = (3, 35)
#: Pages (16 MB) in the write-ahead log before a checkpoint, so that checkpoints are rare.
CHECKPOINT_PAGES = 4000
#: Bytes to which a longer write-ahead log is truncated.
MAX_LOG_BYTES = 64 << 20
#: Mode before the umask. Others have no access, because whoever can change jobs decides what code
#: runs. SQLite gives the files beside the database the same mode.
FILE_MODE = 0o660


def connect(options: SQLiteOptions) -> sqlite3.Connection:
    """Open the file, and create it if it does not exist. Raises sqlite3.Error and EngineError."""
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
    _create(options.file)
    raw = sqlite3.connect(
        options.file,
        timeout=0,  # write_lock.py waits instead
        isolation_level=None,
        check_same_thread=False,  # a fork closes the connections of all threads
        cached_statements=256,
    )
    raw.create_function("poolq_now", 0, now, deterministic=True)  # it is, within a statement
    return raw


def _create(file: Path) -> None:
    """Create the file with FILE_MODE, because SQLite would make it readable for all. This does not
    open the file, because closing it would drop the locks that this process holds on it."""
    with suppress(OSError):  # it exists, or SQLite reports a clearer reason
        os.mknod(file, stat.S_IFREG | FILE_MODE)


def set_pragmas(raw: sqlite3.Connection, options: SQLiteOptions) -> None:
    """Set up a connection. Raises sqlite3.OperationalError if the database is busy."""
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute(f"PRAGMA synchronous = {options.synchronous}")
    raw.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    raw.execute(f"PRAGMA journal_size_limit = {MAX_LOG_BYTES}")
