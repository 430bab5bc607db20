"""Jobs in PostgreSQL 15 or newer, through psycopg, which is an extra of poolq."""

from poolq.errors import ConfigError

_INSTALL = "run pip install 'psycopg[binary]>=3.2', as the extra poolq[postgresql] does"

try:
    from psycopg import __version__, pq
except ImportError as error:  # psycopg is missing, or finds no libpq
    said = " ".join(str(error).split())
    raise ConfigError(
        f"postgresql:// needs psycopg 3.2 and its libpq ({said}): {_INSTALL}"
    ) from error
if tuple(map(int, __version__.split(".")[:2])) < (3, 2) or pq.version() < 140_000:
    raise ConfigError(
        f"postgresql:// needs psycopg 3.2 and libpq 14; these are psycopg {__version__} and libpq"
        f" {pq.version() // 10_000}: {_INSTALL}"
    )

from poolq.engines.postgresql.engine import PostgreSQLEngine  # noqa: E402  # it imports psycopg

__all__ = ["PostgreSQLEngine"]
