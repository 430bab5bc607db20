"""The client's end of the control socket: whatever answers, the command ends with one line."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from poolq.control.client import request
from poolq.errors import PoolNotFound, PoolqError, WaitTimeout
from poolq.system.runtime_folder import PoolLock, running_pools
from tests.support.wait import until

OK = b'{"v":1,"ok":true}\n'


@contextmanager
def answering(folder: Path, *answers: bytes) -> Iterator[Mapping[str, str]]:
    """Another process that holds a pool's name and sends these answers to its one client."""

    def main() -> None:
        lock = PoolLock("test", folder)
        select.select([lock.listener], [], [], 10)
        line, _ = lock.listener.accept()
        line.recv(4096)
        with suppress(OSError):
            for answer in answers:
                line.sendall(answer)
        if not answers:
            line.recv(1)  # sends nothing, and stays

    other = get_context("fork").Process(target=main)
    other.start()
    environ = {"RUNTIME_DIRECTORY": str(folder)}
    until(lambda: running_pools(environ) and (folder / "test.sock").exists(), 10, "a holder")
    try:
        yield environ
    finally:
        other.kill()
        other.join()


def test_an_answer_may_arrive_in_pieces(tmp_path: Path) -> None:
    with answering(tmp_path, OK[:5], OK[5:]) as environ:
        assert request("test", environ, "status") == {"v": 1, "ok": True}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "ended without an answer"),
        (b'{"v":1,"ok":', "ended without an answer"),
        (b"HTTP/1.1 400 Bad Request\r\n", "invalid answer: 'HTTP/1.1 400"),
        (b"\x1b[2J\xff\n", r"invalid answer: '\\x1b\[2J\\xff"),
        (b"[1]\n", "invalid answer"),
        (b'{"v":1}\n', "invalid answer"),
        (b'{"v":1,"ok":"yes"}\n', "invalid answer"),
        (b'{"v":1,"ok":false}\n', "invalid answer"),
        (b"[" * 100_000 + b"\n", "invalid answer"),
        (b'{"v":2,"ok":true}\n', "speaks version 2, but this command version 1"),
    ],
)
def test_an_invalid_answer_is_reported_in_one_line(tmp_path: Path, answer: bytes, why: str) -> None:
    with answering(tmp_path, answer) as environ, pytest.raises(PoolqError, match=why) as raised:
        request("test", environ, "pause")
    assert "\n" not in str(raised.value)
    assert str(raised.value).isascii()


def test_a_missing_answer_times_out(tmp_path: Path) -> None:
    with answering(tmp_path) as environ, pytest.raises(WaitTimeout):
        request("test", environ, "drain", {"wait": True}, 0.1)


@pytest.mark.parametrize("variable", ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"])
@pytest.mark.parametrize("are_others", [True, False], ids=["another user's", "public"])
def test_a_folder_in_which_others_may_answer_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, *, are_others: bool
) -> None:
    """Somebody may have made a folder of root's name in /tmp, or root become root by `su`."""
    uid = os.getuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + (are_others and uid > 0))
    below = {"XDG_RUNTIME_DIR": "poolq", "TMPDIR": f"poolq-{os.geteuid()}"}.get(variable, "")
    folder = tmp_path / below
    folder.mkdir(0o700, exist_ok=True)
    environ = {"TMPDIR": str(tmp_path / "none")} | {variable: str(tmp_path)}
    with answering(folder, OK):
        if not are_others:
            folder.chmod(0o777)
        elif uid == 0:
            os.chown(folder, 4242, -1)
        assert running_pools(environ) == []
        why = "belongs to" if are_others else "everybody may write to"
        with pytest.raises(PoolNotFound, match=why):
            request("test", environ, "status")
