"""The version of what poolq stores: tables, or keys of Redis. Nothing converts another version."""

from typing import Final

from poolq.errors import SchemaError

#: Each change of the tables or keys raises it. Versions 1 to 6 belonged to unreleased code.
SCHEMA_VERSION: Final = 8


def check_version(version: int, redacted_url: str) -> None:
    """Raise SchemaError unless this is the version that this code needs. 0 stands for no tables."""
    if version == SCHEMA_VERSION:
        return
    if version == 0:
        raise SchemaError(f"{redacted_url} has no poolq tables: run 'poolq db migrate'")
    has = f"{redacted_url} has version {version}, and this poolq needs {SCHEMA_VERSION}"
    if version < SCHEMA_VERSION:
        raise SchemaError(
            f"{has}: this store was made by an unreleased poolq;"
            " drain it with that code, or use another namespace"
        )
    raise SchemaError(f"{has}: install the newer poolq that made this store")
