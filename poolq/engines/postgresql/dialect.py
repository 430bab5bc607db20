"""PostgreSQL's SQL for the tokens of templates."""

from poolq.engines.postgresql.wake_tokens import WAKE_TOKENS
from poolq.engines.sql.limits.parking import LOCK_DUE_LINES, LOCK_DUE_LINES_BY_PLACE
from poolq.engines.sql.servers import READ_STORE
from poolq.engines.sql.session import Dialect, TemplateToken
from poolq.engines.sql.within import READ_ID

#: Autovacuum begins early, because done jobs leave dead rows.
_VACUUMED = " WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0)"

_READ_STORE = """SELECT s.version, c.relnamespace::regnamespace::text, s.*
    FROM {schema} s JOIN pg_class c ON c.oid = s.tableoid"""
_READ_ID = READ_ID + ", {waiting}"  # tests the right to that, too


def _joined(columns: str) -> str:
    *numbers, last = columns.split(", ")
    texts = " || ' ' || ".join(f"COALESCE({one}::text, '')" for one in numbers)
    return f"convert_to({texts} || ' ', 'UTF8') || COALESCE({last}, '')"


DIALECT = Dialect(
    now="(extract(epoch FROM statement_timestamp()) * 1000000)::bigint",
    clock="(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    share="FOR SHARE",
    in_list="= ANY(?)",
    no_bytes="''::bytea",
    after='(due_at, id COLLATE "POSIX") > (?, ?) AND due_at >= ?',
    joined=TemplateToken(_joined),
    in_one_text=TemplateToken("string_agg({}, ',')".format),
    any=TemplateToken("NULLIF(COUNT({}), 0)".format),  # with MIN, it might read the whole index
    ordering=TemplateToken('{} COLLATE "POSIX"'.format),
    returned=TemplateToken("{}".format),
    quoted=TemplateToken('"{}"'.format),
    id='text COLLATE "C"',
    text=TemplateToken('text COLLATE "C"'.format),
    bytes="bytea",
    table=_VACUUMED,
    clustered=_VACUUMED,
    random="gen_random_uuid()::text",
    user_now="(extract(epoch FROM statement_timestamp()) * 1000000)::bigint",
    more_tables=("answers", "added", "tokens"),
    instead=WAKE_TOKENS
    | {READ_STORE: _READ_STORE, READ_ID: _READ_ID, LOCK_DUE_LINES: LOCK_DUE_LINES_BY_PLACE},
)


def with_schema(name: str) -> Dialect:
    """Return the dialect whose statements name a schema, so that no `search_path` matters."""
    return DIALECT._replace(quoted=TemplateToken(lambda table: f'{name}."{table}"'))
