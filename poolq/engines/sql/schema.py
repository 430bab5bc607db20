"""The versioned tables, and their migration to the version that this code needs.

The first of an engine's FILES creates the tables, and the n-th migrates version n - 1 to n. Each
statement must be safe to run twice, as MySQL commits each one, and migrations may be interrupted.
"""

import re
from abc import ABC, abstractmethod
from pathlib import Path

from poolq.engines.base import Check
from poolq.errors import ConfigError, SchemaError

FILES = ("schema.sql", "version2.sql")
SCHEMA_VERSION = len(FILES)
READ_VERSION = "SELECT version FROM {schema}"
WRITE_VERSION = "INSERT INTO {schema} (one, version) VALUES (1, ?) {on:one} version = {new:version}"

_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}", re.ASCII)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)


def check_namespace(namespace: str) -> str:
    """Return the namespace. Raises ConfigError if table names cannot begin with it."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ConfigError(
            f"namespace is {namespace!r}; table names begin with it, so it has 1 to 48 letters,"
            " digits and _, and does not begin with a digit"
        )
    return namespace


def check_version(version: int, redacted_url: str) -> None:
    """Raise SchemaError unless this is the version that this code needs."""
    if version == 0:
        raise SchemaError(f"{redacted_url} has no poolq tables: run 'poolq db migrate'")
    if version < SCHEMA_VERSION:
        raise SchemaError(
            f"the tables of {redacted_url} have version {version}, this poolq needs"
            f" {SCHEMA_VERSION}: run 'poolq db migrate'"
        )
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"the tables of {redacted_url} have version {version}, this poolq knows"
            f" {SCHEMA_VERSION}: install the newer poolq that made them"
        )


def statements(path: Path, namespace: str) -> list[str]:
    """Return the statements of a file, without its comments."""
    text = _COMMENT.sub("", path.read_text("utf-8")).replace("{ns}", namespace)
    return [one.strip() for one in text.split(";") if one.strip()]


class SQLSchema(ABC):
    """The tables of one namespace, made by the FILES in a folder."""

    #: The version that this code needs.
    latest = SCHEMA_VERSION

    def __init__(self, folder: Path, namespace: str, redacted_url: str) -> None:
        self.files = [folder / name for name in FILES]
        self.namespace = namespace
        self.redacted_url = redacted_url

    @abstractmethod
    def version(self) -> int:
        """Return the version of the tables, or 0 if there are none."""

    @abstractmethod
    def migrate(self) -> int:
        """Migrate the tables to the version that this code needs. Returns how many steps ran."""

    def steps(self, version: int) -> list[tuple[int, list[str]]]:
        """Return the steps to run, each as (resulting version, statements). Raises SchemaError."""
        if version > SCHEMA_VERSION:
            check_version(version, self.redacted_url)
        return [
            (number, statements(file, self.namespace))
            for number, file in enumerate(self.files, 1)
            if number > version
        ]

    def check(self) -> Check:
        """Return the line about the tables in `poolq doctor`."""
        found = self.version()
        level = "ok" if found == SCHEMA_VERSION else "bad"
        return Check("schema", level, f"version {found}, this poolq needs {SCHEMA_VERSION}")

    def sql(self) -> str:
        """Return the statements that `migrate` would run on an empty database."""
        text = "\n\n".join(file.read_text("utf-8").strip() for file in self.files)
        text += f"\n\nINSERT INTO {{ns}}_schema (one, version) VALUES (1, {SCHEMA_VERSION});\n"
        return text.replace("{ns}", self.namespace)
