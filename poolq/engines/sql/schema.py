"""The tables of a namespace, which share one version. The file schema.sql makes them; `Dialect` has
the types of columns.

Each statement that makes them must be safe to run twice, because MySQL commits each statement by
itself, and a migration may be interrupted.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from poolq.engines.base import Check
from poolq.engines.schema_version import check_version
from poolq.engines.sql.session import RenderedSQL
from poolq.errors import ConfigError

READ_VERSION = "SELECT version FROM {schema}"
WRITE_VERSION = """INSERT INTO {schema} (one, version, id) VALUES (1, ?, {random})
    {on:one} version = {new:version}"""

_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}", re.ASCII)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS ([^\n]+) \(\n.*?;\n", re.DOTALL)
_LAST = re.compile(r"\w+")
_KEY = re.compile(r",\n    KEY (\w+) (\(.*?\)[^,\n]*)")
SHARED = Path(__file__).with_name("schema.sql")


def check_namespace(namespace: str) -> str:
    """Return the namespace. Raises ConfigError if table names cannot begin with it."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ConfigError(
            f"namespace is {namespace!r}; table names begin with it, so it has 1 to 48 letters,"
            " digits and _, and does not begin with a digit"
        )
    return namespace


class SQLSchema(ABC):
    """The tables of one namespace. `files`: the statements that make them. `number`: the version
    that this code needs. `place`: how errors say where the tables should be. `has_roles`:
    see `check_version`."""

    files: Sequence[Path] = (SHARED,)
    place = ""
    has_roles = False
    number: int

    def __init__(self, texts: RenderedSQL, namespace: str, redacted_url: str) -> None:
        self.texts = texts
        self.namespace = namespace
        self.redacted_url = redacted_url

    @property
    def printed(self) -> RenderedSQL:
        """Return what renders the statements that others run."""
        return self.texts

    @abstractmethod
    def version(self) -> int:
        """Return the version of the tables, or 0 if there are none."""

    @abstractmethod
    def migrate(self) -> bool:
        """Make the tables, and return True; False if they are there. Raises SchemaError if they
        have another version than this code needs."""

    def missing(self, version: int) -> list[str]:
        """Return the statements that make what is missing from tables of this version. Raises
        SchemaError."""
        if version:
            self.require(version)
            return []
        text = _COMMENT.sub("", self._text(self.texts))
        return [one for part in text.split(";") if (one := part.strip())]

    def require(self, version: int) -> None:
        """Raise SchemaError unless this is the version that this code needs."""
        place = f" of namespace {self.namespace!r}{self.place}"
        check_version(version, self.number, self.redacted_url, place, self.has_roles)

    def check(self) -> Check:
        """Return the line about the tables in `poolq doctor`."""
        found = self.version()
        level = "ok" if found == self.number else "bad"
        return Check("schema", level, f"version {found}, this poolq needs {self.number}")

    def grants(self, role: str, kinds: Sequence[str] | None) -> str:  # noqa: ARG002  # an override uses them
        """Return the GRANTs for a role, as `rights.grants` does. "" stands for an engine that
        prints none."""
        return ""

    def sql(self) -> str:
        """Return the statements that `migrate` would run on an empty database. Run again, they
        change nothing; the last one fails if the tables have another version."""
        texts = self.printed
        schema, random = texts.tokens["schema"], texts.tokens["random"]
        return f"""{self._text(texts)}
INSERT INTO {schema} (one, version, id)
    SELECT 1, {self.number}, {random} FROM (SELECT 1 AS one) made
    WHERE NOT EXISTS (SELECT 1 FROM {schema} s WHERE s.version = {self.number});
"""

    def _text(self, texts: RenderedSQL) -> str:
        made = "\n".join(one.read_text("utf-8") for one in self.files)
        text = made.format_map(texts.tokens)
        return text if texts.tokens["keys_within"] else _TABLE.sub(self._with_indexes, text)

    def _with_indexes(self, table: re.Match[str]) -> str:
        """Return the statement that makes a table, and those that make its indexes."""
        made, name, quoted = table[0], _LAST.findall(table[1])[-1], self.texts.tokens["quoted"]
        indexes = [
            f"CREATE INDEX IF NOT EXISTS {quoted:{name}_{key}} ON {table[1]} {columns};\n"
            for key, columns in _KEY.findall(made)
        ]
        return _KEY.sub("", made) + "".join(indexes)
