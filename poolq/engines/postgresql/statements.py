"""Prepared statements: encodes arguments, and turns rows to be inserted into one statement.

All values are sent and received in binary formats. The types of a statement's arguments are those
of the Python values, so the server never has to guess them. A template is prepared once for each
combination of types, and for each `Expression` that replaces an argument.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, count, groupby
from operator import itemgetter
from typing import NamedTuple

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from poolq.engines.sql.session import BatchQuery, Query, RenderedSQL

_MARK = re.compile(r"\?")
#: A statement that inserts a row, and does nothing else.
INSERTS_A_ROW = re.compile(r"(INSERT [^?]*) VALUES \(((?:\?|''::bytea)(?:, (?:\?|''::bytea))*)\)")
#: The values of rows by column.
Columns = Sequence[Sequence[object]]


class Expression(NamedTuple):
    """Rendered SQL that replaces an argument, with arguments of its own."""

    sql: str
    args: tuple[object, ...] = ()


class Statement(NamedTuple):
    """`name` is that of the prepared statement. `types`: those of its arguments, by OID."""

    name: bytes
    sql: bytes
    types: Sequence[int]


class Bound(NamedTuple):
    """A statement, its encoded arguments, and their formats."""

    statement: Statement
    values: Sequence[Buffer | None]
    formats: Sequence[Format]


class Statements:
    """Makes statements of templates for one connection, each one once. `transformer`: encodes
    arguments, and decodes rows."""

    def __init__(self, texts: RenderedSQL, connection: psycopg.Connection) -> None:
        self.texts = texts
        # By default, psycopg would choose the type of a number by its value.
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(bool, Int8BinaryDumper)
        connection.adapters.register_dumper(str, StrBinaryDumper)
        connection.adapters.register_dumper(tuple, ListBinaryDumper)
        self.transformer = Transformer(connection)
        self._known: dict[tuple[str, Sequence[int]], Statement] = {}
        self._numbers = count(1)

    def bind(self, query: Query | BatchQuery) -> list[Bound]:
        """Return the statements of a query. Rows that are only inserted become few statements."""
        if isinstance(query, Query):
            return [self._bind_one(query.sql, query.args)]
        if len(query.rows) > 1 and (parts := INSERTS_A_ROW.fullmatch(self.texts[query.sql])):
            return self._bind_rows(parts[1], parts[2], query.rows)
        return [self._bind_one(query.sql, row) for row in query.rows]

    def _bind_one(self, template: str, args: Sequence[object]) -> Bound:
        sql = self.texts[template]
        if Expression in map(type, args):
            exprs = map(_sql_of, args)
            given = (one.args if isinstance(one, Expression) else (one,) for one in args)
            args = [*chain.from_iterable(given)]
            template = sql = _MARK.sub(lambda _: next(exprs), sql)
        return self._bound(template, sql, args)

    def _bound(self, key: str, sql: str, args: Sequence[object]) -> Bound:
        """Return the statement of this key, with `$1` and so on for `?`, and its arguments."""
        encoder = self.transformer
        values = encoder.dump_sequence(args, [PyFormat.BINARY] * len(args))
        types = encoder.types or ()
        statement = self._known.get((key, types))
        if statement is None:
            numbers = count(1)
            numbered = _MARK.sub(lambda _: f"${next(numbers)}", sql)
            name = b"poolq_%d" % next(self._numbers)
            statement = self._known[key, types] = Statement(name, numbered.encode(), types)
        return Bound(statement, values, encoder.formats or ())

    def _bind_rows(self, start: str, marks: str, rows: Sequence[Sequence[object]]) -> list[Bound]:
        """Return statements that insert rows in their order, as many as possible by each one.
        `start`: the statement up to its VALUES. `marks`: these."""
        columns = _columns_of(rows)
        if all(_is_constant(one) or Expression not in map(type, one) for one in columns):
            return [self._bind_columns(start, marks, columns)]
        groups = groupby(rows, lambda row: tuple(map(_sql_of, row)))
        return [self._bind_columns(start, marks, _columns_of(list(some))) for _, some in groups]

    def _bind_columns(self, start: str, marks: str, columns: Columns) -> Bound:
        """Return the statement that inserts rows with the same expressions. A column that has one
        value is sent once, as `?`; the others are arrays."""
        exprs = tuple(_sql_of(column[0]) for column in columns)
        constants, arrays, names = list[object](), list[Sequence[object]](), list[str]()
        for column in _values_of(columns):
            if column.count(None) == len(column):
                names.append("NULL")
            elif arrays and _is_constant(column):
                constants.append(column[0])
                names.append("?")
            else:
                arrays.append(column)
                names.append(f"c{len(arrays)}")
        sql = _insert_from_arrays(start, marks, exprs, tuple(names))
        return self._bound(sql, sql, [*constants, *arrays])


@lru_cache(maxsize=1000)
def _insert_from_arrays(start: str, marks: str, exprs: Sequence[str], names: Sequence[str]) -> str:
    """Return the statement that inserts a row for each element of its arguments, which are arrays.
    `exprs`: what replaces the marks. `names`: what replaces the marks of these: NULL, `?` or the
    name of a column.
    """
    given, named = iter(exprs), iter(names)
    selected = _MARK.sub(lambda _: next(given), marks)
    selected = _MARK.sub(lambda _: next(named), selected)
    columns = [name for name in names if name.startswith("c")]
    arrays = ", ".join("?" for _ in columns)
    return f"{start} SELECT {selected} FROM unnest({arrays}) u ({', '.join(columns)})"


def _sql_of(arg: object) -> str:
    return arg.sql if isinstance(arg, Expression) else "?"


def _is_constant(column: Sequence[object]) -> bool:
    return column.count(column[0]) == len(column)


def _columns_of(rows: Sequence[Sequence[object]]) -> Columns:
    """As `zip(*rows)`, but without objects for each row, for the sake of the garbage collector."""
    return [list(map(itemgetter(at), rows)) for at in range(len(rows[0]))]


def _values_of(columns: Columns) -> Iterator[Sequence[object]]:
    """Yield the columns, with those of its arguments in place of one of expressions."""
    for column in columns:
        if isinstance(column[0], Expression):
            yield from _columns_of([one.args for one in column])  # type: ignore[attr-defined]  # all are expressions
        else:
            yield column
