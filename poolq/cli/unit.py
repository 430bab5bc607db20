"""`poolq make unit`: service files that run this project's pool.

The templates are in `units/`, one file per kind; `contrib/` has examples of the result.
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

from poolq.cli.options import print_line, with_settings
from poolq.config import Config, engine_urls
from poolq.config.settings import BY_NAME
from poolq.errors import Refused

UNIT_KINDS = ("systemd", "supervisor", "k8s")
UNIT_FLAGS = ("procs", "queue", "cooldown", "stop_timeout", "name")
STOP_MARGIN = 15  # seconds beyond --stop-timeout for the keeper to end, and for slow machines


@click.command()
@click.argument("kind", type=click.Choice(UNIT_KINDS))
@click.option("--output", metavar="FILE", help="Write to this file instead of stdout.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@with_settings(*UNIT_FLAGS)
def unit(settings: Config, kind: str, output: str | None, force: bool) -> None:
    """Write a file for systemd, supervisor or Kubernetes.

    The file runs a pool of this project. The pool gets the flags given here, and reads all other
    settings when it starts.
    """
    text = unit_text(kind, settings)
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
    print_line(str(path))


def unit_text(kind: str, settings: Config) -> str:
    given = {
        name: f"{BY_NAME[name].option}={_shown(getattr(settings, name))}"
        for name in UNIT_FLAGS
        if settings.sources[name] == BY_NAME[name].option
    }
    if kind == "k8s":
        command = json.dumps(["poolq", "run", *given.values()])
    else:
        command = shlex.join([*_program(), "run", *given.values()]).replace("%", "%%")
    probe = ["poolq", "health", *(flag for name, flag in given.items() if name == "name")]
    words = {
        "command": command,
        "live": json.dumps([*probe, "--live"]),
        "ready": json.dumps([*probe, "--ready"]),
        "folder": str(settings.folder).replace("%", "%%"),
        "user": _owner(settings.folder),
        "stop_seconds": str(round(settings.stop_timeout) + STOP_MARGIN),
        "writable": _writable(settings),
    }
    text = files("poolq.cli").joinpath("units", kind).read_text("utf-8")
    return Template(text).substitute(words)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _program() -> list[str]:
    """Return the command that starts this installation of poolq."""
    script = Path(sys.executable).with_name("poolq")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "poolq"]


def _owner(folder: Path) -> str:
    """Return the owner of the project, or "www-data" instead of root."""
    try:
        owner = folder.owner()
    except (KeyError, OSError):
        owner = getpass.getuser()
    return "www-data" if owner == "root" else owner


def _writable(settings: Config) -> str:
    """Return the line that makes the folder of SQLite's file writable, or ""."""
    if engine_urls.scheme(settings.engine) != "sqlite":
        return ""
    path = unquote(settings.engine.partition("?")[0].removeprefix("sqlite:///"))
    place = str(Path(path).parent).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'ReadWritePaths="{place}"\n' if " " in place else f"ReadWritePaths={place}\n"
