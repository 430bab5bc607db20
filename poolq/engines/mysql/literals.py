"""Values as they stand in a statement, and statements with their values in them.

The connection's character set is utf8mb4 and backslashes escape: `connecting.py` sees to both.
"""

from collections.abc import Sequence

from poolq.engines.sql.session import RenderedSQL


class BareList(tuple[str, ...]):
    """Values side by side, without brackets around them."""

    __slots__ = ()


def quoted(value: bytes) -> bytes:
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def literal(value: object) -> bytes:
    """A value's text."""
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
    raise TypeError(f"{value!r} cannot stand in a statement")


class SplitSQL(dict[str, list[bytes]]):
    """Templates cut at their arguments, each once."""

    def __init__(self, texts: RenderedSQL) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, template: str) -> list[bytes]:
        parts = self[template] = self._texts[template].encode().split(b"?")
        return parts

    def fill(self, template: str, args: Sequence[object]) -> bytes:
        """The statement with these arguments."""
        first, *rest = self[template]
        filled = [first]
        for arg, part in zip(args, rest, strict=True):
            filled += literal(arg), part
        return b"".join(filled)
