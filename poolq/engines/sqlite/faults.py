"""Translates SQLite's errors into poolq's, which say what is wrong and what to do about it."""

import sqlite3
from pathlib import Path

from poolq.config.own_command import own_command
from poolq.engines.sql.session import DuplicateKey
from poolq.errors import EngineError, EngineUnavailable, SchemaError

_PRIMARY = 0xFF  # extended codes carry the primary one in their lowest byte


def code(error: sqlite3.Error) -> int:
    """Return the primary result code, or -1 if Python's module raised the error by itself."""
    found: int = getattr(error, "sqlite_errorcode", -1)
    return found if found < 0 else found & _PRIMARY


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection holds a lock that this one needs."""
    return code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


#: What to do about a dispatch in a transaction that has locked the database.
IN_YOURS = ": in this, dispatch with poolq.within or poolq.after_commit"


def locked(file: Path, seconds: float) -> EngineUnavailable:
    return EngineUnavailable(
        f"{file}: the database has been locked for {seconds:g} s, by a process that may be stopped,"
        f" or by your own open transaction{IN_YOURS}"
    )


def interrupted(file: Path) -> EngineUnavailable:
    return EngineUnavailable(
        f"{file}: interrupted, because this process was about to be forked; try again"
    )


def translate(error: sqlite3.Error, file: Path) -> EngineError:
    what = f"{file}: {error}"
    match code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return EngineUnavailable(f"{what}; another process holds the lock")
        case sqlite3.SQLITE_CANTOPEN:
            return EngineUnavailable(f"{file} cannot be opened: {_why_not(file)}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return EngineUnavailable(f"{what}; poolq needs write access to the file and its folder")
        case sqlite3.SQLITE_FULL:
            return EngineUnavailable(f"{what}; free space on {file.parent}")
        case sqlite3.SQLITE_IOERR:
            # The commit's last write may have succeeded.
            return EngineUnavailable(f"{what}; check the disk of {file.parent}", maybe_stored=True)
        case sqlite3.SQLITE_NOTADB:
            return EngineError(f"{file} is not a SQLite database; use another file")
        case sqlite3.SQLITE_CORRUPT:
            return EngineError(
                f"{what}; move it away and restore a backup, or save what is readable with"
                " 'sqlite3 FILE .recover'"
            )
    if "no such table" in str(error) or "no such column" in str(error):
        return SchemaError(f"{what}: run what {own_command('db sql')} prints")
    if isinstance(error, sqlite3.IntegrityError):
        return DuplicateKey(f"{what}; a job with that id is stored already")
    return EngineError(what)


def _why_not(file: Path) -> str:
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}; create it, or use another file"
    if file.is_dir():
        return "it is a folder; use a file in it"
    return "check the permissions of the file and its folder"
