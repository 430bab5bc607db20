"""Jobs in a file of SQLite 3.35 or newer; nothing to install, one host."""

from poolq.engines.sqlite.engine import SQLiteEngine

__all__ = ["SQLiteEngine"]
