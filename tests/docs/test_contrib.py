"""The files for supervisors agree with poolq and with themselves."""

from __future__ import annotations

import shlex
from configparser import ConfigParser
from pathlib import Path

import click

from poolq.cli.main import poolq
from tests.docs.markdown import ROOT

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
        name
        for option in poolq.commands["run"].params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    found = dict(flag.split("=", 1) for flag in flags)
    assert set(found) <= known
    return found


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
