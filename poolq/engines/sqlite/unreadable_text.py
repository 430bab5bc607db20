r"""Makes text that is not UTF-8 readable. Only a change by hand can leave such text in the file.

Python's sqlite3 module raises an error for each row with such text, so poolq could not handle the
row. After such an error, the stored text is replaced by readable text that names its bytes, such as
caf\xe9. Then the row can be handled like any other.
"""

import sqlite3
from collections.abc import Callable, Iterable

from poolq.engines.sql.session import TABLES, RenderedSQL

#: Whether text is not UTF-8. Nearly all text is plain ASCII, which SQLite itself recognises. GLOB
#: stops at the first NUL, so `instr` looks for one.
_UNREADABLE = """typeof({column}) = 'text'
    AND ({column} GLOB '*[^ -~]*' OR instr(CAST({column} AS BLOB), x'00'))
    AND poolq_readable(CAST({column} AS BLOB)) IS NOT {column}"""


def is_unreadable(error: sqlite3.Error) -> bool:
    """Return whether a statement has failed because text is not UTF-8."""
    return str(error).startswith("Could not decode to UTF-8")


def repair(
    raw: sqlite3.Connection,
    texts: RenderedSQL,
    exclusively: Callable[[Callable[[], object]], object],
) -> None:
    """Make all text of a namespace readable. If several rows then have the same key, keep one."""
    raw.create_function("poolq_readable", 1, _readable, deterministic=True)
    for table, column in _columns(raw, texts):
        where = _UNREADABLE.format(column=f'"{column}"')
        if raw.execute(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1").fetchone():
            change = f'"{column}" = poolq_readable(CAST("{column}" AS BLOB))'
            for sql in (
                f"UPDATE OR IGNORE {table} SET {change} WHERE {where}",
                f"DELETE FROM {table} WHERE {where}",
            ):
                exclusively(lambda sql=sql: raw.execute(sql))  # type: ignore[misc]  # it runs at once


def _readable(stored: bytes) -> str:
    return stored.decode("utf-8", "backslashreplace")


def _columns(raw: sqlite3.Connection, texts: RenderedSQL) -> Iterable[tuple[str, str]]:
    for name in TABLES:
        table = texts[f"{{{name}}}"]
        for column in raw.execute(f"PRAGMA table_info({table})").fetchall():
            yield table, column[1]
