"""What `poolq make unit` writes, read back by those who will read it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from poolq.cli.project import unit
from poolq.config import Config
from poolq.errors import Refused
from tests.support.server import binary

NAMES = (
    "plain", "a b", "%h %% %(ENV_HOME)s", "$HOME ${HOME} $$", "~", "-", "@x +y", "a ;b # c;", "é ü",
    "{x}", "*", "a  b", "$(id)", "\"a\"", "it's", "c\\d", "\\n", "\\x41",
)  # fmt: skip
#: Reads files as supervisord does.
READ = """
import sys, json, shlex
from supervisor.options import ServerOptions
for path in sys.argv[1:]:
    options = ServerOptions()
    options.realize(["-c", path])
    (group,) = options.process_group_configs
    (one,) = group.process_configs
    print(json.dumps([shlex.split(one.command), one.directory]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below /dev, whose folders systemd refuses."""
    with TemporaryDirectory(dir="/var/tmp") as made:
        yield Path(made)


def config(folder: Path, name: str, file: str = "/srv/jobs.db") -> Config:
    sources = dict.fromkeys(unit.UNIT_FLAGS, "default") | {"name": "--name"}
    return Config(engine=f"sqlite:///{quote(file)}", folder=folder, name=name, sources=sources)


def program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program that is there, as systemd looks for it."""
    path = folder / "bin dir%;x" / "poolq"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(unit, "_program", lambda: [str(path)])
    monkeypatch.setattr(unit, "_owner", lambda _: "root")
    return str(path)


def test_systemd_reads_back_what_it_was_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(folder, monkeypatch)
    units = {f"poolq-{number}.service": name for number, name in enumerate(NAMES)}
    for unit_name, name in units.items():
        place = f"/srv/{name}.d"
        text = unit.unit_text("systemd", config(Path(place), name, f"{place}/x.db"))
        (folder / unit_name).write_text(text, "utf-8")
    command = [binary("systemd-analyze"), "verify", "--man=no", *(folder / one for one in units)]
    env = {**os.environ, "SYSTEMD_LOG_LEVEL": "debug"}  # shows what it has read
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    parts = re.split(r"\t(?:→|->) Unit (.*):\n", done.stdout)
    dumps = dict(zip(parts[1::2], parts[2::2], strict=True))
    for unit_name, name in units.items():
        found = re.findall(r"^\t\t(?:\t)?(\w[\w ]*): (.*)", dumps[unit_name], re.MULTILINE)
        values = dict(found)
        lines = [value.replace("\\$", "$") for key, value in found if key == "Command Line"]
        given = [path, "run", f"--name={name.replace('$', '$$')}"]  # which it replaces as it starts
        assert given in [shlex.split(one) for one in lines], lines
        assert len(lines) == 2, "and the reload"
        assert values["WorkingDirectory"] == values["ReadWritePaths"] == f"/srv/{name}.d"
        assert values["User"] == "root"


def test_supervisord_reads_back_what_it_was_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(folder, monkeypatch)
    expected, files = [], []
    for number, name in enumerate(NAMES):
        place = folder / re.sub(" [;#]", "", f"{name}.d")
        place.mkdir()
        text = "[supervisord]\n" + unit.unit_text("supervisor", config(place, name))
        files.append(folder / f"{number}.conf")
        files[-1].write_text(text, "utf-8")
        expected.append([[path, "run", f"--name={name}"], str(place)])
    python = Path(binary("supervisord")).read_text("utf-8").splitlines()[0].removeprefix("#!")
    command = [*python.split(), "-c", READ, *files]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(one) for one in done.stdout.splitlines()] == expected


@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_reads_back_what_it_was_given(name: str) -> None:
    text = unit.unit_text("k8s", config(Path("/srv/a\nb"), name))
    (command,) = re.findall("command: (.*)\n          env", text)
    (ready,) = re.findall("readinessProbe:\n +exec: {command: (.*)}", text)
    assert [one.replace("$$", "$") for one in json.loads(command)] == [
        "poolq", "run", f"--name={name}",
    ]  # fmt: skip
    assert json.loads(ready)[2].replace("$$", "$") == f"--name={name}"


@pytest.mark.parametrize(
    "bad", ["a\nExecStartPre=+/bin/x", "\r", "a\x1b[2J", "\u2028", "\udc80", "a\tb"]
)
@pytest.mark.parametrize("kind", unit.UNIT_KINDS)
def test_control_characters_are_refused(kind: str, bad: str) -> None:
    given = [config(Path("/srv"), bad)]
    given += [config(Path(f"/srv/{bad}"), "x")] if kind != "k8s" else []
    if kind == "systemd" and bad != "\udc80":
        given += [config(Path("/srv"), "x", f"/srv/{bad}/x.db")]
    for one in given:
        with pytest.raises(Refused, match=f"^a file for {kind} cannot have '"):
            unit.unit_text(kind, one)


def test_what_a_format_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither has quotes where it wants a folder; systemd has no program with any in its path."""
    for kind, folder in (
        ("systemd", "/srv/a\\"), ("systemd", "/srv/a "), ("supervisor", "/srv/a ;b"),
        ("supervisor", "/srv/a #b"), ("supervisor", "/srv/a "),
    ):  # fmt: skip
        with pytest.raises(Refused, match="use a plainer name"):
            unit.unit_text(kind, config(Path(folder), "x"))
    monkeypatch.setattr(unit, "_program", lambda: ["/srv/a'b/poolq"])
    with pytest.raises(Refused, match="a file for systemd cannot have"):
        unit.unit_text("systemd", config(Path("/srv"), "x"))
