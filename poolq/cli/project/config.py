"""`poolq config`: the settings and where they come from."""

import click

from poolq import config as settings_of
from poolq.cli import tables
from poolq.cli.group import Group
from poolq.cli.options import RUN_FLAGS, print_line, wants_json, with_settings
from poolq.config import Config

COLUMNS = (
    tables.Column("SETTING", lambda row: row[0].name),
    tables.Column("VALUE", lambda row: worded(row[1]), wrap=True),
    tables.Column("FROM", lambda row: row[2], wrap=True),
)


@click.group(cls=Group)
def config() -> None:
    """Show the settings."""


@config.command()
@with_settings(*RUN_FLAGS)
def show(settings: Config) -> None:
    """Show the value and source of each setting; passwords are hidden.

    Takes the flags of 'poolq run', to show their effect.
    """
    rows = list(settings_of.rows(settings))
    if not wants_json():
        print_line(f"project folder: {settings.folder}", err=True)
    shown = {one.name: {"value": value, "source": source} for one, value, source in rows}
    document = {"folder": str(settings.folder), "settings": shown}
    tables.show_list(document, COLUMNS, rows, "")


def worded(value: object) -> str:
    if value is None:
        return "(all)"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
