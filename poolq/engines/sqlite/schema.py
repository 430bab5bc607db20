"""The tables in the file. They are made when the file is opened."""

import sqlite3
from contextlib import closing

from poolq.engines.sanitize import number
from poolq.engines.sql.schema import READ_VERSION, WRITE_VERSION, SQLSchema
from poolq.engines.sql.session import RenderedSQL
from poolq.engines.sqlite.connecting import connect, set_pragmas
from poolq.engines.sqlite.faults import translate
from poolq.engines.sqlite.options import SQLiteOptions
from poolq.engines.sqlite.write_lock import Exclusively, WriteLock, run_read


class SQLiteSchema(SQLSchema):
    number = 9

    def __init__(self, options: SQLiteOptions, texts: RenderedSQL, namespace: str) -> None:
        super().__init__(texts, namespace, str(options.file))
        self._options = options

    def version(self) -> int:
        if not self._options.file.exists():
            return 0
        try:
            with closing(connect(self._options)) as raw:
                return self._read(raw)
        except sqlite3.Error as error:
            raise translate(error, self._options.file) from error

    def migrate(self) -> bool:
        write_lock = WriteLock(self._options.file)
        try:
            with closing(connect(self._options)) as raw:
                return self.prepare(raw, write_lock.exclusively)
        except sqlite3.Error as error:
            raise translate(error, self._options.file) from error
        finally:
            write_lock.close()

    def prepare(self, raw: sqlite3.Connection, exclusively: Exclusively) -> bool:
        """Set up a new connection, and make the tables as `migrate` does."""
        version = run_read(lambda: self._tuned(raw), exclusively)
        if not self.missing(version):
            return False
        exclusively(lambda: raw.execute("BEGIN IMMEDIATE"))
        with raw:  # commits, or rolls back
            missing = self.missing(self._read(raw))  # another process may have made them
            for one in missing:
                raw.execute(one)
            if missing:
                raw.execute(self.texts[WRITE_VERSION], (self.number,))
        return bool(missing)

    def _tuned(self, raw: sqlite3.Connection) -> int:
        """Set up the connection, and return the version of the tables."""
        set_pragmas(raw, self._options)
        return self._read(raw)

    def _read(self, raw: sqlite3.Connection) -> int:
        try:
            row = raw.execute(self.texts[READ_VERSION]).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return 0
            raise
        return number(row[0]) if row else 0
