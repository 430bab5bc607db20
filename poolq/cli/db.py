"""`poolq db`: the tables of an SQL engine. The engine knows which tables it needs."""

import click

from poolq.cli.group import Group
from poolq.cli.options import json_option, warn, with_new_engine
from poolq.config.engine_urls import redact
from poolq.engines.base import Engine
from poolq.engines.sql.schema import SQLSchema

OUTDATED = 78


@click.group(cls=Group)
def db() -> None:
    """Create, check and print the tables of MySQL, MariaDB and SQLite."""


def _schema(engine: Engine) -> SQLSchema | None:
    schema = getattr(engine, "schema", None)
    if isinstance(schema, SQLSchema):
        return schema
    warn(f"{redact(engine.url)} has no tables; there is nothing to do")
    return None


@db.command()
@json_option
@with_new_engine
def migrate(engine: Engine, as_json: bool) -> None:
    """Update the tables to this version of poolq. Does nothing if they are up to date."""
    schema = _schema(engine)
    steps = schema.migrate() if schema is not None else 0
    if as_json:
        from poolq.cli import tables

        tables.print_json({"version": schema.version() if schema else 0, "steps": steps})
    elif schema is not None:
        made = f"{steps} step{'' if steps == 1 else 's'} done" if steps else "nothing to do"
        click.echo(f"schema version {schema.version()}: {made}")


@db.command()
@json_option
@with_new_engine
def status(engine: Engine, as_json: bool) -> int:
    """Compare the tables with what this version needs.

    Exits with 78 if they differ.
    """
    schema = _schema(engine)
    found = schema.version() if schema is not None else 0
    needed = schema.latest if schema is not None else 0
    if as_json:
        from poolq.cli import tables

        tables.print_json({"version": found, "needed": needed, "current": found == needed})
    elif schema is not None:
        click.echo(f"schema version {found}, needed {needed}")
    if found < needed:
        what = "older than this poolq" if found else "missing"
        warn(f"the tables are {what}; run 'poolq db migrate'")
    elif found > needed:
        warn("the tables are newer than this poolq; upgrade poolq")
    return 0 if found == needed else OUTDATED


@db.command()
@with_new_engine
def sql(engine: Engine) -> None:
    """Print the statements that create the tables."""
    schema = _schema(engine)
    if schema is not None:
        click.echo(schema.sql().rstrip())
