"""Prepared statements: encodes arguments, and turns rows to be inserted into one statement.

All values are sent and received in binary formats. The types of a statement's arguments are those
of the Python values, so the server never has to guess them. A template is prepared once for each
combination of types, and for each `Expression` that replaces an argument.
"""

import re
import struct
from collections.abc import Callable, Sequence
from itertools import count, groupby
from typing import Any, NamedTuple

from poolq.engines.sql.session import BatchQuery, Query, RenderedSQL

#: Types of PostgreSQL, by OID, and the arrays of these types.
UNKNOWN, BYTES, INT, TEXT = 0, 17, 20, 25
ARRAYS = {BYTES: 1001, INT: 1016, TEXT: 1009}
NAMES = {1001: "bytea", 1016: "bigint", 1009: "text"}

_pack = struct.Struct("!q").pack
_pack_length = struct.Struct("!i").pack
_array_head = struct.Struct("!iIIii").pack
_NULL = _pack_length(-1)
_MARK = re.compile(r"\?")
#: A statement that inserts a row, and does nothing else.
INSERTS_A_ROW = re.compile(r"(INSERT [^?]*) VALUES \(((?:\?|''::bytea)(?:, (?:\?|''::bytea))*)\)")


class Expression(NamedTuple):
    """Rendered SQL that replaces an argument, with arguments of its own."""

    sql: str
    args: tuple[object, ...] = ()


class Statement(NamedTuple):
    """`name` is the same on each connection that has prepared it. `formats`: those of arguments."""

    name: bytes
    sql: bytes
    types: Sequence[int]
    formats: Sequence[int]


#: A statement with its arguments.
Bound = tuple[Statement, Sequence[bytes | None]]
_Encoder = tuple[int, Callable[[Any], bytes | None]]


class _Encoders(dict[type, _Encoder]):
    def __missing__(self, kind: type) -> _Encoder:
        """Return the encoder of the class above, such as that of str for a JobId."""
        for above in kind.__mro__[1:]:
            if above in self:
                return self[above]
        raise TypeError(f"a value of {kind} cannot be sent to PostgreSQL")


_ENCODERS = _Encoders(
    {
        str: (TEXT, str.encode),
        int: (INT, _pack),
        bool: (INT, _pack),
        bytes: (BYTES, bytes),
        type(None): (UNKNOWN, lambda _: None),
    }
)


class Statements:
    """Makes statements of templates, each one once."""

    def __init__(self, texts: RenderedSQL) -> None:
        self.texts = texts
        self._known: dict[object, Statement] = {}
        self._numbers = count(1)

    def bind(self, query: Query | BatchQuery) -> list[Bound]:
        """Return the statements of a query. Rows that are only inserted become few statements."""
        if isinstance(query, Query):
            return [self._bind_one(query.sql, query.args)]
        if len(query.rows) > 1 and (parts := INSERTS_A_ROW.fullmatch(self.texts[query.sql])):
            return self._bind_rows(parts[1], parts[2], query.rows)
        return [self._bind_one(query.sql, row) for row in query.rows]

    def _bind_one(self, template: str, args: Sequence[object]) -> Bound:
        sql = ""
        if Expression in map(type, args):
            exprs, args = map(_sql_of, args), _args_of(args)
            template = sql = _MARK.sub(lambda _: next(exprs), self.texts[template])
        types, values = [], []
        for arg in args:
            type_, value = _encode(arg)
            types.append(type_)
            values.append(value)
        key = (template, *types)
        statement = self._known.get(key)
        if statement is None:
            statement = self._make(key, sql or self.texts[template], types)
        return statement, values

    def _make(self, key: object, sql: str, types: Sequence[int]) -> Statement:
        numbers = count(1)
        numbered = _MARK.sub(lambda _: f"${next(numbers)}", sql)
        name = b"poolq_%d" % next(self._numbers)
        statement = self._known[key] = Statement(name, numbered.encode(), types, [1] * len(types))
        return statement

    def _bind_rows(self, start: str, marks: str, rows: Sequence[Sequence[object]]) -> list[Bound]:
        """Return statements that insert rows in their order, as many as possible by each one.
        `start`: the statement up to its VALUES. `marks`: these."""
        by_shape = groupby(rows, lambda row: list(map(_sql_of, row)))
        return [self._bind_like(start, marks, exprs, list(some)) for exprs, some in by_shape]

    def _bind_like(
        self, start: str, marks: str, exprs: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> Bound:
        """Return the statement that inserts rows with the same expressions."""
        types, values, names = [], [], list[str]()
        for column in zip(*map(_args_of, rows), strict=True):
            if column.count(None) < len(column):
                type_, value = _encode_array(column)
                types.append(type_)
                values.append(value)
                names.append(f"c{len(types)}")
            else:
                names.append("NULL")
        key = (start, marks, *exprs, *names, *types)
        statement = self._known.get(key)
        if statement is None:
            given, columns = iter(exprs), iter(names)
            selected = _MARK.sub(lambda _: next(given), marks)
            selected = _MARK.sub(lambda _: next(columns), selected)
            arrays = ", ".join(f"?::{NAMES[one]}[]" for one in types)
            listed = ", ".join(name for name in names if name != "NULL")
            sql = f"{start} SELECT {selected} FROM unnest({arrays}) u ({listed})"
            statement = self._make(key, sql, types)
        return statement, values


def _sql_of(arg: object) -> str:
    return arg.sql if isinstance(arg, Expression) else "?"


def _args_of(row: Sequence[object]) -> list[object]:
    args: list[object] = []
    for one in row:
        if isinstance(one, Expression):
            args += one.args
        else:
            args.append(one)
    return args


def _encode(arg: object) -> tuple[int, bytes | None]:
    """Return the type and the encoded value of an argument."""
    kind = type(arg)
    if kind is list or kind is tuple:
        return _encode_array(arg)  # type: ignore[arg-type]  # mypy does not narrow it
    type_, encode = _ENCODERS[kind]
    return type_, encode(arg)


def _encode_array(values: Sequence[object]) -> tuple[int, bytes]:
    """Return the type and the encoded value of an array. It is one of text if all are None."""
    kinds = [type(one) for one in values if one is not None]
    element = _ENCODERS[kinds[0]][0] if kinds else TEXT
    parts = [_array_head(1, 1, element, len(values), 1)]
    for one in values:
        if one is None:
            parts.append(_NULL)
            continue
        encoded = _ENCODERS[type(one)][1](one)
        assert encoded is not None
        parts += (_pack_length(len(encoded)), encoded)
    return ARRAYS[element], b"".join(parts)
