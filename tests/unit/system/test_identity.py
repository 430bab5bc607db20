"""Whether a known process still lives here."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from poolq.system import identity


def gone(pid: int, since: int) -> bool:
    return identity.is_gone_here(identity.boot_id(), identity.pid_namespace(), pid, since)


def test_who_lives_is_not_gone() -> None:
    assert not gone(os.getpid(), identity.start_time(os.getpid()) or 0)


def test_who_has_ended_is_gone_and_so_is_who_has_given_his_pid_to_another() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert gone(ended.pid, 1)
    assert gone(os.getpid(), 1)


def test_a_process_hidden_by_another_user_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with hidepid, or systemd's ProtectProc: /proc shows nothing, and kill() is refused."""

    def forbidden(_pid: int, _number: int) -> None:
        raise PermissionError

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(os, "kill", forbidden)
    assert not gone(ended.pid, 1)


def test_nobody_knows_of_other_places() -> None:
    assert not identity.is_gone_here("another boot", identity.pid_namespace(), os.getpid(), 1)


def test_a_process_of_another_user_whose_files_proc_hides_is_not_gone() -> None:
    """On a real /proc, which only root may mount: with hidepid=1 the files of other users cannot be
    opened, with 2 and 4 they are not there."""
    code = (
        "from poolq.system import identity\n"
        f"me = ('{identity.boot_id()}', identity.pid_namespace(), {os.getpid()})\n"
        f"print(identity.start_time({os.getpid()}), identity.state({os.getpid()}),"
        f" identity.is_gone_here(*me, {identity.start_time(os.getpid())}))"
    )
    nobody = ["setpriv", "--reuid=61357", "--regid=61357", "--clear-groups", "--"]
    for hidepid in (1, 2, 4) if os.geteuid() == 0 else ():
        mount = f'mount -t proc -o hidepid={hidepid} proc /proc && exec {shlex.join(nobody)} "$@"'
        said = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (said.stdout, said.stderr) == ("None b'X' False\n", "")
