"""`poolq db`: the tables of an SQL engine. The engine knows which tables it needs."""

import click

from poolq.cli import tables
from poolq.cli.group import Group
from poolq.cli.options import reject_empty, warn, with_engine_and, with_new_engine
from poolq.common.names import suggestion
from poolq.config.engine_urls import redact
from poolq.engines.base import Engine
from poolq.engines.sql.rights import KINDS
from poolq.engines.sql.schema import SQLSchema


@click.group(cls=Group)
def db() -> None:
    """Create, check and print the tables of SQL engines."""


def _schema(engine: Engine) -> SQLSchema | None:
    schema = getattr(engine, "schema", None)
    if isinstance(schema, SQLSchema):
        return schema
    warn(f"{redact(engine.url)} has no tables; there is nothing to do")
    return None


@db.command()
@with_new_engine
def migrate(engine: Engine) -> None:
    """Create the tables. Does nothing if they are there."""
    schema = _schema(engine)
    made = schema is not None and schema.migrate()
    version = schema.version() if schema else 0
    what = "tables made" if made else "nothing to do"
    done = [f"schema version {version}: {what}"] if schema else []
    tables.show({"version": version, "made": made}, *done)


@db.command()
@with_new_engine
def status(engine: Engine) -> None:
    """Compare the tables with what this version needs.

    Exits with 78 if they differ.
    """
    schema = _schema(engine)
    found = schema.version() if schema is not None else 0
    needed = schema.number if schema is not None else 0
    compared = [f"schema version {found}, needed {needed}"] if schema else []
    document = {"version": found, "needed": needed, "current": found == needed}
    tables.show(document, *compared)
    if schema is not None:
        schema.require(found)


def _kinds(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    """Return the kinds of jobs that a producer dispatches besides plain ones."""
    kinds = None if value is None else [one for one in value.split(",") if one]
    for kind in kinds or ():
        if kind not in KINDS:
            hint = suggestion(kind, KINDS, f"write {' or '.join(KINDS)}")
            raise click.BadParameter(f"{kind!r} is no kind; {hint}", ctx, param)
    return kinds


@db.command()
@click.option("--grants", metavar="ROLE", callback=reject_empty, help="Print GRANTs for this role.")
@click.option(
    "--producer",
    is_flag=False,
    flag_value="",
    metavar="[=KINDS]",
    callback=_kinds,
    help="With --grants: the role only dispatches, also jobs that are unique,concurrent.",
)
@with_engine_and(create=True, json=False)
def sql(engine: Engine, grants: str | None, producer: list[str] | None) -> None:
    """Print the statements that create the tables.

    With --grants, print those that give a role of PostgreSQL the rights that a pool needs, or only
    those of a producer.
    """
    if producer is not None and grants is None:
        raise click.UsageError("--producer needs --grants=ROLE")
    schema = _schema(engine)
    if schema is None:
        return
    text = schema.sql() if grants is None else schema.grants(grants, producer)
    if not text:
        raise click.UsageError(
            f"--grants is only for postgresql://, and this is {schema.redacted_url}"
        )
    click.echo(text.rstrip())
