"""Encodes values as SQL literals, and fills statements with them.

This relies on the settings of `reconnecting.py` (utf8mb4, and the backslash as escape character).
"""

from collections.abc import Sequence

from poolq.engines.sql.session import RenderedSQL


class Expression(bytes):
    """SQL that replaces an argument as it is."""

    __slots__ = ()


def quoted(value: bytes) -> bytes:
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def literal(value: object) -> bytes:
    """Encode a value as a literal. Raises TypeError for other types."""
    if isinstance(value, str):  # as `quoted`, whose call would take a third longer
        return b"'" + value.encode().replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"
    if isinstance(value, bytes):
        return value if isinstance(value, Expression) else b"_binary" + quoted(value)
    if isinstance(value, int):
        return b"%d" % value
    if value is None:
        return b"NULL"
    if isinstance(value, (list, tuple)):
        return b"(" + b",".join(map(literal, value)) + b")"
    raise TypeError(f"{value!r} has no SQL literal")


class FormatSQL(dict[str, bytes]):
    """Maps templates to encoded statements, with %b for each argument. Each is made only once."""

    def __init__(self, texts: RenderedSQL) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, template: str) -> bytes:
        text = self._texts[template].encode().replace(b"%", b"%%")
        statement = self[template] = text.replace(b"?", b"%b")
        return statement

    def fill(self, template: str, args: Sequence[object]) -> bytes:
        """Return the statement with these arguments."""
        return self[template] % tuple(map(literal, args))

    def fill_rows(self, sql: str, rows: Sequence[Sequence[object]]) -> tuple[bytes, list[bytes]]:
        """Return how a statement that inserts a row begins, and these rows. In most columns, all
        values are the same."""
        columns = [
            [literal(column[0])] * len(rows)
            if column.count(column[0]) == len(rows)
            else list(map(literal, column))
            for column in zip(*rows, strict=True)
        ]
        start, bracket, end = self[sql].partition(b"(%b")
        row = bracket + end
        return start % (), [row % values for values in zip(*columns, strict=True)]
