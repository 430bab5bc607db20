"""`poolq version`."""

import click

import poolq
from poolq.cli import tables
from poolq.cli.options import json_option


@click.command()
@json_option
def version() -> None:
    """Show the version."""
    found = poolq.__version__
    tables.show({"version": found}, f"poolq {found}")
