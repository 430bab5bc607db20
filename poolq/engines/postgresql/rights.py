"""The GRANT for a right that a role lacks."""

import getpass
import os
import re

from poolq.config.own_command import own_command
from poolq.engines.postgresql.options import PostgreSQLOptions, quoted
from poolq.engines.postgresql.wire import ServerError
from poolq.engines.sql.rights import producer_option
from poolq.engines.sql.session import RenderedSQL
from poolq.engines.transactions.connection import UserConnection

_DENIED = re.compile(r'permission denied for (\w+) "?([^";]+)')
_TARGET = re.compile(r'(INSERT|UPDATE|DELETE|LOCK)(?: INTO| FROM| TABLE)? (?:"[^"]*"\.)?"([^"]*)"')


def missing_grant(error: ServerError, options: PostgreSQLOptions) -> str:
    """Return the GRANT without which a statement, or a connection, was refused."""
    more, role = "", options.parameters.get("user") or os.environ.get("PGUSER") or getpass.getuser()
    printed = own_command(f"db sql --grants={role}")
    found = _DENIED.search(str(error))
    if found is None:  # the server speaks another language
        return f"see {printed}"
    kind, name = found.groups()
    if kind == "database":
        what = f"CONNECT ON DATABASE {quoted(name)}"
    elif kind == "schema":
        right = "CREATE" if error.sql.startswith("CREATE") else "USAGE"
        what = f"{right} ON SCHEMA {quoted(name)}"
    else:
        schema = f"{quoted(options.schema)}." if options.schema else ""
        rights = _rights(error.sql, name)
        what = f"{', '.join(sorted(rights))} ON {schema}{quoted(name)}"
        more = f" ({printed} prints all that a pool needs)"
        if option := producer_option(name, rights):
            dispatching = own_command(f"db sql --grants={role} {option}")
            more = f" ({dispatching} prints all that such a dispatch needs, {printed} a pool)"
    return f"GRANT {what} TO {quoted(role)};{more}"


def grant_within(error: Exception, texts: RenderedSQL, by: UserConnection) -> str:
    """Return the GRANT that a dispatch by this connection lacks, or "". `texts` name the schema."""
    found = _DENIED.search(str(error).partition("\n")[0])
    if found is None:
        return ""
    jobs, (kind, name) = texts.tokens["jobs"], found.groups()
    what = f"USAGE ON SCHEMA {quoted(name)}"
    if kind != "schema":
        right = "INSERT" if jobs.endswith(quoted(name)) else "SELECT"
        what = f"{right} ON {jobs.rpartition('.')[0]}.{quoted(name)}"
    return f"; GRANT {what} TO {quoted(by.role())};"


def _rights(sql: str, table: str) -> set[str]:
    """Return the rights that a statement needs on one of its tables."""
    verbs = {verb for verb, name in _TARGET.findall(sql) if name == table} or {"SELECT"}
    inserts = "INSERT" in verbs
    rights = verbs - {"LOCK"}
    if not verbs.isdisjoint(("UPDATE", "DELETE")) or (inserts and "ON CONFLICT" in sql):
        rights.add("SELECT")
    if (
        "LOCK" in verbs
        or re.search("FOR (UPDATE|SHARE)|setval", sql)
        or (inserts and "DO UPDATE" in sql)
    ):
        rights.add("UPDATE")
    return rights
