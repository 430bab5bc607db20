"""`poolq make unit`: service files that run this project's pool.

The templates are in `units/`, one file per kind; `contrib/` has examples of the result. A folder's
name may have any characters, and root reads the file. So each text is quoted for its format: by
`_words` if it is a list of words, or by `_line` if it takes the rest of a line.
"""

import getpass
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import unquote

import click

from poolq.cli.options import with_settings
from poolq.cli.project.config import worded
from poolq.common.escaping import shown
from poolq.config import Config, engine_urls
from poolq.config.settings import BY_NAME
from poolq.errors import Refused

UNIT_KINDS = ("systemd", "supervisor", "k8s")
UNIT_FLAGS = ("procs", "queue", "cooldown", "stop_timeout", "name")
STOP_MARGIN = 15  # seconds beyond --stop-timeout for the keeper to end, and for slow machines


@click.command()
@click.argument("kind", type=click.Choice(UNIT_KINDS))
@with_settings(*UNIT_FLAGS, json=False)
def unit(settings: Config, kind: str) -> None:
    """Print a file for systemd, supervisor or Kubernetes.

    The file runs a pool of this project. The pool gets the flags given here, and reads all other
    settings when it starts.
    """
    click.echo(unit_text(kind, settings), nl=False)


def unit_text(kind: str, settings: Config) -> str:
    given = {
        name: f"{BY_NAME[name].option}={worded(getattr(settings, name))}"
        for name in UNIT_FLAGS
        if settings.sources[name] == BY_NAME[name].option
    }
    name = [flag for setting, flag in given.items() if setting == "name"]
    program = ["poolq"] if kind == "k8s" else _program()
    words = {
        "command": _words(kind, [*program, "run", *given.values()]),
        "live": _words(kind, ["poolq", "health", *name, "--live"]),
        "ready": _words(kind, ["poolq", "health", *name, "--ready"]),
        "folder": _line(kind, str(settings.folder)),
        "user": _line(kind, _owner(settings.folder)),
        "stop_seconds": str(round(settings.stop_timeout) + STOP_MARGIN),
        "writable": _writable(kind, settings),
    }
    text = files("poolq.cli.project").joinpath("units", kind).read_text("utf-8")
    return Template(text).substitute(words)


def _words(kind: str, words: Sequence[str]) -> str:
    """Return a command as a value that is read as exactly these words."""
    for word in words:
        _check(kind, word, word.isprintable())
    if kind == "k8s":  # Kubernetes replaces $(NAME), even within a word
        return json.dumps([word.replace("$", "$$") for word in words], ensure_ascii=False)
    if kind == "systemd":
        _check(kind, words[0], not re.search(r"""[$"'\\]""", words[0]))  # not in a program's path
        return " ".join(_systemd_word(word).replace("$", "$$") for word in words)
    # A semicolon after a space would begin a comment, even if it is quoted.
    quoted = (re.sub(r"(?<= )(?=[;#])", "''", shlex.quote(word)) for word in words)
    return " ".join(quoted).replace("%", "%%")


def _systemd_word(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if re.fullmatch(r"[\w/.,:=@%+-]+", text, re.ASCII) else f'"{escaped}"'


def _line(kind: str, text: str) -> str:
    """Return a text as a value that is not split into words and cannot be quoted."""
    if kind == "k8s":  # its file has no such value
        return ""
    ends = text.endswith("\\") if kind == "systemd" else re.search(" [;#]", text)
    _check(kind, text, text.isprintable() and text == text.strip() and not ends)
    return text.replace("%", "%%")


def _check(kind: str, text: str, can_be: object) -> None:
    if not can_be:
        raise Refused(f"a file for {kind} cannot have {shown(text)}; use a plainer name")


def _program() -> list[str]:
    """Return the command that starts this installation of poolq, not one in the project folder."""
    script = Path(sys.executable).with_name("poolq")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-P", "-m", "poolq"]


def _owner(folder: Path) -> str:
    """Return the owner of the project, or "www-data" instead of root."""
    try:
        owner = folder.owner()
    except (KeyError, OSError):
        owner = getpass.getuser()
    return "www-data" if owner == "root" else owner


def _writable(kind: str, settings: Config) -> str:
    """Return the line of a systemd unit that makes the folder of SQLite's file writable, or ""."""
    if kind != "systemd" or engine_urls.scheme(settings.engine) != "sqlite":
        return ""
    path = unquote(settings.engine.partition("?")[0].removeprefix("sqlite:///"))
    place = str(Path(path).parent)
    _check(kind, place, place.isprintable())
    return f"ReadWritePaths={_systemd_word(place)}\n"
