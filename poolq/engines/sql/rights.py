"""What a role must be allowed to do with each table for the statements of this package to work."""

from collections.abc import Sequence

from poolq.engines.sql.session import RenderedSQL

ALL = "SELECT, INSERT, UPDATE, DELETE"
#: What a role that dispatches may do on PostgreSQL: always, and with jobs of these KINDS.
PRODUCER = {
    "all jobs": {
        "jobs": "INSERT",
        "queues": "SELECT, INSERT",
        "schema": "SELECT",
        "waiting": "SELECT",
    },
    "jobs with unique": {
        "unique_keys": "SELECT, INSERT, UPDATE",
        "jobs": "SELECT, UPDATE, DELETE",
        "added": "INSERT",
        "lines": "SELECT, UPDATE, DELETE",
    },
    "jobs with concurrent": {
        "tokens": "SELECT, UPDATE",
        "lines": "SELECT, INSERT, UPDATE",
        "windows": "SELECT, INSERT, UPDATE",
    },
}
KINDS = {"unique": "jobs with unique", "concurrent": "jobs with concurrent"}


def producer_option(table: str, rights: set[str]) -> str:
    """Return the option of `poolq db sql` for a role whose dispatches need these rights on a table;
    "" if no dispatch needs them."""
    uses = [
        use
        for use, tables in PRODUCER.items()
        for name, some in tables.items()
        if table.endswith(f"_{name}") and rights <= set(some.split(", "))
    ]
    if "all jobs" in uses:
        return "--producer"
    kinds = [kind for kind, use in KINDS.items() if use in uses]
    return f"--producer={','.join(kinds)}" if kinds else ""


def grants(
    texts: RenderedSQL, database: str, schema: str, role: str, kinds: Sequence[str] | None
) -> str:
    """Return the GRANTs for a role that dispatches jobs, also of these KINDS, or that runs a pool
    if `kinds` is None. All names are quoted."""
    uses = {"a pool": {**dict.fromkeys(texts.tables, ALL), "waiting": "SELECT, UPDATE"}}
    if kinds is not None:
        uses = {use: PRODUCER[use] for use in ("all jobs", *(KINDS[kind] for kind in kinds))}
    lines = [
        f"GRANT CONNECT ON DATABASE {database} TO {role};",
        f"GRANT USAGE ON SCHEMA {schema} TO {role};",
    ]
    for use, rights in uses.items():
        lines.append(f"-- for {use}")
        lines += [
            f"GRANT {some} ON {schema}.{texts.tokens[table]} TO {role};"
            for table, some in rights.items()
        ]
    return "\n".join(lines)
