"""Encodes values as SQL literals, and fills statements with them.

This relies on the settings of `connecting.py` (utf8mb4, and the backslash as escape character).
"""

from collections.abc import Sequence

from poolq.engines.sql.session import RenderedSQL


class BareList(tuple[str, ...]):
    """Values separated by commas, without parentheses."""

    __slots__ = ()


def quoted(value: bytes) -> bytes:
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def literal(value: object) -> bytes:
    """Encode a value as a literal. Raises TypeError for other types."""
    if isinstance(value, str):
        return quoted(value.encode())
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, bytes):
        return b"_binary" + quoted(value)
    if value is None:
        return b"NULL"
    if isinstance(value, BareList):
        return b",".join(map(literal, value))
    if isinstance(value, (list, tuple)):
        return b"(" + b",".join(map(literal, value)) + b")"
    raise TypeError(f"{value!r} has no SQL literal")


class SplitSQL(dict[str, list[bytes]]):
    """Maps templates to statements, encoded and split at their arguments. Each is made once."""

    def __init__(self, texts: RenderedSQL) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, template: str) -> list[bytes]:
        parts = self[template] = self._texts[template].encode().split(b"?")
        return parts

    def fill(self, template: str, args: Sequence[object]) -> bytes:
        """Return the statement with these arguments."""
        first, *rest = self[template]
        filled = [first]
        for arg, part in zip(args, rest, strict=True):
            if type(arg) is str:  # most are, and calling `literal` takes twice as long
                filled += quoted(arg.encode()), part
            else:
                filled += b"%d" % arg if type(arg) is int else literal(arg), part
        return b"".join(filled)
