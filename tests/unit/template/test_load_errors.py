"""The errors of a generation that cannot be loaded: complete if possible, and never too long."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from poolq.errors import AppError, PoolqError
from poolq.jobs import registry
from poolq.master import templates
from poolq.master.state import Limits, Pool
from poolq.template import load_errors, protocol
from poolq.template.protocol import Loaded, LoadFailed, NotPreloaded


def failed(cause: BaseException | None, text: str = "module 'jobs' cannot be loaded") -> PoolqError:
    error = AppError(text)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("size", [10, 70_000, 1_000_000])
@pytest.mark.parametrize("char", ["x", "ü", "\udcff", "line\n"])
def test_a_long_traceback_fits_into_a_packet_and_keeps_its_end(size: int, char: str) -> None:
    words = load_errors.of(failed(ValueError(f"{char * size} the end"), f"why {char}"))
    ours, theirs = protocol.pair()
    with ours, theirs:
        assert protocol.send(theirs, words)
        assert protocol.receive(ours)[0] == words
    assert words.trace.rstrip().endswith(" the end")
    assert words.code == 3
    if size == 10:
        assert words.trace.startswith("ValueError: ")


def test_an_error_without_a_cause_has_no_traceback() -> None:
    assert load_errors.of(failed(None, "text")) == LoadFailed("text", 3, "")


def test_data_that_is_not_a_message_is_skipped() -> None:
    """What a template imports may write to any descriptor."""
    ours, theirs = protocol.pair()
    with ours, theirs:
        for junk in (b"junk", b"{}", b"[" * 70_000, b"\xff"):
            theirs.send(junk)
        protocol.send(theirs, NotPreloaded(load_errors.reason("\udcff" * 100_000)))
        protocol.send(theirs, Loaded())
        assert isinstance(protocol.receive(ours)[0], NotPreloaded)
        assert protocol.receive(ours)[0] == Loaded()
        theirs.close()
        assert protocol.receive(ours) == (None, [])


def test_a_load_error_is_read_once_by_the_process_that_forked_the_writer() -> None:
    buffer = load_errors.LoadErrorBuffer()
    assert buffer.take() is None
    pid = os.fork()
    if pid == 0:
        buffer.write(failed(ValueError("no"), "why"))
        os._exit(0)
    os.waitpid(pid, 0)
    assert buffer.take() == LoadFailed("why", 3, "ValueError: no\n")
    assert buffer.take() is None


def test_a_refusal_is_logged_with_its_traceback() -> None:
    pool, said = Pool(Limits(), [], refusal="why"), list[tuple[str, str]]()
    templates.log_refusal(pool, lambda *one: said.append(one), 2, LoadFailed("why", 3, "Traceback"))
    templates.log_refusal(pool, lambda *one: said.append(one), 3, None)
    text = "is refused; the old workers keep running: why"
    assert said == [
        ("error", f"generation 2 {text}\nTraceback"),
        ("error", f"generation 3 {text}"),
    ]
    assert pool.traceback == ""


def test_a_traceback_begins_in_the_applications_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "jobs.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(AppError) as raised:
        registry.load(("jobs",), tmp_path)
    first, second, *_ = load_errors.of(raised.value).trace.splitlines()
    assert first == "Traceback (most recent call last):"
    assert second == f'  File "{tmp_path}/jobs.py", line 1, in <module>'
