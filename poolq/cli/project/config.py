"""`poolq config`: the settings and where they come from."""

import click

from poolq import config as settings_of
from poolq.cli import tables
from poolq.cli.group import Group
from poolq.cli.options import RUN_FLAGS, json_option, print_line, with_settings
from poolq.config import Config


@click.group(cls=Group)
def config() -> None:
    """Show the settings."""


@config.command()
@json_option
@with_settings(*RUN_FLAGS)
def show(settings: Config, as_json: bool) -> None:
    """Show the value and source of each setting; passwords are hidden.

    Takes the flags of 'poolq run', to show their effect.
    """
    rows = [(setting.name, value, source) for setting, value, source in settings_of.rows(settings)]
    if as_json:
        shown = {name: {"value": value, "source": source} for name, value, source in rows}
        tables.print_json({"folder": str(settings.folder), "settings": shown})
        return
    print_line(f"project folder: {settings.folder}", err=True)
    tables.print_table(
        [
            tables.Column("SETTING"),
            tables.Column("VALUE", wrap=True),
            tables.Column("FROM", wrap=True),
        ],
        [(name, _worded(value), source) for name, value, source in rows],
    )


def _worded(value: object) -> str:
    if value is None:
        return "(all)"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
