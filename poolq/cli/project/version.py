"""`poolq version`."""

import click

from poolq.cli import tables
from poolq.cli.options import json_option


@click.command()
@json_option
def version() -> None:
    """Show the version."""
    tables.show({"version": _installed()}, f"poolq {_installed()}")


def print_version(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    """Print the version and exit, as the callback of --version."""
    if given:
        click.echo(f"poolq {_installed()}")
        ctx.exit()


def _installed() -> str:
    import importlib.metadata  # slow: it imports an email parser

    try:
        return importlib.metadata.version("poolq")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed: running from source)"
