"""What poolq needs of the server."""

from psycopg.pq.abc import PGconn

from poolq.errors import ConfigError

#: As the server writes its version.
MIN_SERVER = 150_000


def check_server(raw: PGconn, url: str) -> None:
    """Raise ConfigError if the server that has just been connected to is none that poolq can use.
    The server has told all this by itself."""
    version = (raw.parameter_status(b"server_version") or b"").decode()
    encoding = (raw.parameter_status(b"server_encoding") or b"").decode()
    relative = "YugabyteDB" if "-YB-" in version else ""
    if raw.parameter_status(b"crdb_version"):
        relative = "CockroachDB"
    needed = MIN_SERVER // 10_000
    if relative:
        raise ConfigError(f"{url} is {relative}; poolq needs PostgreSQL itself, {needed} or newer")
    if raw.server_version < MIN_SERVER:
        raise ConfigError(f"{url} is PostgreSQL {version}; poolq needs {needed} or newer")
    if encoding != "UTF8":
        raise ConfigError(
            f"{url}: this database has the encoding {encoding}; poolq needs one that was made with"
            " ENCODING 'UTF8' TEMPLATE template0"
        )
