"""Marks: the engines a test runs on. Without one it runs on all four."""

from __future__ import annotations

import pytest


def on(*engines: str) -> pytest.MarkDecorator:
    """Run on these of redis, valkey, mariadb and sqlite."""
    return pytest.mark.parametrize("engine_url", engines, indirect=True)


#: Where the engine decides: one server with scripts, and one file with transactions.
redis_and_sqlite = on("redis", "sqlite")
#: One of each kind.
each_kind = on("redis", "mariadb", "postgresql", "sqlite")
#: Where the engine has no say.
sqlite = on("sqlite")
