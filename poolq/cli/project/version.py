"""`poolq version`."""

import click

from poolq.cli import tables
from poolq.cli.options import json_option


@click.command()
@json_option
def version() -> None:
    """Show the version."""
    import importlib.metadata  # slow: it imports an email parser

    found = importlib.metadata.version("poolq")
    tables.show({"version": found}, f"poolq {found}")
