"""The files for supervisors agree with poolq and with themselves."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from re import MULTILINE, findall
from string import Template

import click
import pytest

from poolq.cli.pools.run import run
from tests.docs.markdown import ROOT
from tests.support.server import binary

CONTRIB = ROOT / "contrib"


def section(path: Path, name: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, comment_prefixes=(";", "#"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parser.read(path, "utf-8")
    return dict(parser[name])


def options(command: str) -> dict[str, str]:
    """The flags of `poolq run` in a command line, each known to it."""
    program, verb, *flags = shlex.split(command)
    assert Path(program).name == "poolq"
    assert verb == "run"
    known = {
        name for option in run.params if isinstance(option, click.Option) for name in option.opts
    }
    found = dict(flag.split("=", 1) for flag in flags)
    assert set(found) <= known
    return found


DOCKER = CONTRIB / "docker"
KUBERNETES = CONTRIB / "kubernetes" / "deployment.yaml"
FILES = {
    "systemd": CONTRIB / "systemd" / "poolq.service",
    "supervisor": CONTRIB / "supervisor" / "poolq.conf",
    "k8s": KUBERNETES,
}
FLAGS = ["--procs=4", "--cooldown=3600", "--stop-timeout=60"]


@pytest.mark.parametrize("kind", FILES)
def test_they_are_what_make_unit_writes(kind: str) -> None:
    command = ["poolq", "run", *FLAGS]
    words = {
        "command": json.dumps(command)
        if kind == "k8s"
        else f"/srv/app/.venv/bin/{' '.join(command)}",
        "folder": "/srv/app",
        "user": "www-data",
        "stop_seconds": "75",
        "writable": "",
        "live": '["poolq", "health", "--live"]',
        "ready": '["poolq", "health", "--ready"]',
    }
    text = (ROOT / "poolq" / "cli" / "project" / "units" / kind).read_text("utf-8")
    assert FILES[kind].read_text("utf-8") == Template(text).substitute(words)


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The unit, with a program and a folder that are there."""
    text = (CONTRIB / "systemd" / "poolq.service").read_text("utf-8")
    text = text.replace("/srv/app/.venv/bin/poolq", sys.executable).replace(
        "/srv/app",
        str(ROOT),  # not tmp_path: systemd refuses a folder below /dev
    )
    path = tmp_path / "poolq.service"
    path.write_text(text)
    return path


def analyze(*args: str) -> None:
    command = [binary("systemd-analyze"), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_verifies_it(service: Path) -> None:
    analyze("verify", "--man=no", str(service))


def test_systemd_says_that_its_exposure_is_medium_at_most(service: Path) -> None:
    analyze("security", "--offline=yes", "--threshold=60", "--no-pager", str(service))


def test_kubernetes_waits_longer_than_the_pool() -> None:
    text = KUBERNETES.read_text("utf-8")
    (patience,) = findall(r"terminationGracePeriodSeconds: (\d+)", text)
    (command,) = findall(r"^ +command: (\[.*\])", text, MULTILINE)
    flags = options(shlex.join(json.loads(command)))
    assert int(patience) > int(flags["--stop-timeout"])


def test_docker_waits_longer_than_the_pool() -> None:
    (patience,) = findall(
        r"stop_grace_period: (\d+)s", (DOCKER / "compose.yaml").read_text("utf-8")
    )
    (command,) = findall(r"^CMD (\[.*\])", (DOCKER / "Dockerfile").read_text("utf-8"), MULTILINE)
    flags = options(shlex.join(json.loads(command)))
    assert int(patience) > int(flags["--stop-timeout"])


def test_supervisor_waits_longer_than_the_pool() -> None:
    program = section(CONTRIB / "supervisor" / "poolq.conf", "program:poolq")
    flags = options(program["command"])
    assert int(program["stopwaitsecs"]) > int(flags["--stop-timeout"])
    assert program["stopsignal"] == "TERM"
    assert program["numprocs"] == "1"


def test_systemd_waits_longer_than_the_pool_and_signals_the_master_alone() -> None:
    service = section(CONTRIB / "systemd" / "poolq.service", "Service")
    flags = options(service["ExecStart"])
    assert int(service["TimeoutStopSec"]) > int(flags["--stop-timeout"])
    assert (service["KillMode"], service["KillSignal"]) == ("mixed", "SIGTERM")
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")
