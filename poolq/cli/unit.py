"""`poolq make unit`: the files that have a supervisor run this project's pool.

Their text lies in `units/`, one file a kind; `contrib/` shows what they become.
"""

import getpass
import json
import os
import shlex
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import unquote

import click

from poolq.cli.options import say, with_settings
from poolq.config import Config, engine_urls
from poolq.config.settings import BY_NAME
from poolq.errors import Refused

KINDS = ("systemd", "supervisor", "k8s")
FLAGS = ("procs", "queue", "cooldown", "stop_timeout", "name")
PATIENCE = 15  # seconds more than --stop-timeout: the end of the keeper, and a slow machine


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--output", metavar="FILE", help="Write it to this file instead of stdout.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@with_settings(*FLAGS)
def unit(settings: Config, kind: str, output: str | None, force: bool) -> None:
    """Write a file for systemd, supervisor or Kubernetes that runs a pool of this project.

    The given flags become those of the pool; it reads all other settings where it starts.
    """
    text = written(kind, settings)
    if output is None:
        click.echo(text, nl=False)
        return
    path = Path(output)
    if path.exists() and not force:
        raise Refused(f"{path} exists already; --force overwrites it")
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}") from None
    say(str(path))


def written(kind: str, settings: Config) -> str:
    """The file's text."""
    flags = [
        f"{BY_NAME[name].option}={_shown(getattr(settings, name))}"
        for name in FLAGS
        if settings.sources[name] == BY_NAME[name].option
    ]
    if kind == "k8s":
        command = json.dumps(["poolq", "run", *flags])
    else:
        command = shlex.join([*_program(), "run", *flags]).replace("%", "%%")
    words = {
        "command": command,
        "folder": str(settings.folder).replace("%", "%%"),
        "user": _owner(settings.folder),
        "patience": str(round(settings.stop_timeout) + PATIENCE),
        "writable": _writable(settings),
    }
    text = files("poolq.cli").joinpath("units", kind).read_text("utf-8")
    return Template(text).substitute(words)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _program() -> list[str]:
    """How this very poolq is started."""
    script = Path(sys.executable).with_name("poolq")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "poolq"]


def _owner(folder: Path) -> str:
    """Who the project belongs to; a pool needs no root."""
    try:
        owner = folder.owner()
    except (KeyError, OSError):
        owner = getpass.getuser()
    return "www-data" if owner == "root" else owner


def _writable(settings: Config) -> str:
    """SQLite's file must be writable, wherever it is."""
    if engine_urls.scheme(settings.engine) != "sqlite":
        return ""
    path = unquote(settings.engine.partition("?")[0].removeprefix("sqlite:///"))
    place = str(Path(path).parent).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'ReadWritePaths="{place}"\n' if " " in place else f"ReadWritePaths={place}\n"
