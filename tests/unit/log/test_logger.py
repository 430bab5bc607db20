"""The logger's class, without its process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolq.log import logger as module
from poolq.log.formats import FORMATS
from poolq.log.frames import end_of_job
from poolq.log.line_assembly import LineAssembler
from poolq.log.logger import Logger, stop_logger
from poolq.log.pipes import NAMED_SOURCES, Pipes
from poolq.log.ring import DROPPED, Record
from poolq.log.sink import LoggerSetup, Sink
from poolq.system.fork import fork
from tests.support.wait import until


def test_the_output_of_a_job_that_begins_while_the_logger_looks_is_its_own() -> None:
    pipes, words = Pipes(1), FORMATS["text"]()
    fd, token, running = pipes.writers.fds[0], pipes.writers.token, ["first"]
    os.write(fd, b"of the first\n")

    def who(_row: int) -> tuple[int, str]:
        seen = running[-1]
        if seen == "first":  # the next job begins after the logger has read this
            os.write(fd, end_of_job(token, "first", 1.0) + b"of the second\n")
            running.append("second")
        return 1, seen

    logger = Logger(LoggerSetup(pipes, words, who, lambda: None))
    logger._read(pipes.readers[0], 0)
    (record,), _ = pipes.ring.take(1 << 16)
    lines = LineAssembler(words, token, 1, NAMED_SOURCES).take(record, 0.0)
    about = [line.decode().partition(" worker 1 ")[2].rstrip() for line in lines]
    assert about == ["first: of the first", "second: of the second"]


def test_an_error_that_is_over_is_not_the_reason_of_a_later_stall(tmp_path: Path) -> None:
    path, pipes = tmp_path / "logs" / "log", Pipes(1)
    setup = LoggerSetup(pipes, FORMATS["text"](), lambda _: (1, ""), lambda: None, path)
    sink, logger = Sink(setup), Logger(setup)

    def say(text: str) -> None:
        os.write(pipes.writers.fds[0], f"{text}\n".encode())
        logger._read(pipes.readers[0], 0)
        sink.wake()

    sink.start()
    say("first")
    until(sink.stalled)  # there is no folder
    path.parent.mkdir()
    say("second")
    until(lambda: path.exists() and "second" in path.read_text())
    pipes.ring._words[DROPPED] += 3
    say("third")
    sink.finish(9.0)
    (line,) = [line for line in path.read_text().splitlines() if "dropped" in line]
    assert line.endswith(
        "3 lines were dropped: the log could not be written (the output was blocked)"
    )


def test_a_logger_that_is_stopped_before_it_has_begun_writes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a pool may end sooner."""
    path, pipes = tmp_path / "log", Pipes(1)
    setup = LoggerSetup(pipes, FORMATS["text"](), lambda _: (1, ""), lambda: None, path)
    waits, begins = os.pipe()

    def late() -> int:
        os.read(waits, 1)
        return module.main(setup)

    def send(pid: int, number: int) -> None:
        os.kill(pid, number)
        os.write(begins, b"!")

    pid = fork(late, ())
    os.write(pipes.writers.fds[0], b"last words\n")
    monkeypatch.setattr(module, "send", send)
    stop_logger(pid, pipes)
    assert path.read_text().endswith("last words\n")


def test_lines_that_come_while_the_sink_looks_for_the_last_time_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, pipes = tmp_path / "log", Pipes(1)
    setup = LoggerSetup(pipes, FORMATS["text"](), lambda _: (1, ""), lambda: None, path)
    sink, logger, take = Sink(setup), Logger(setup), pipes.ring.take

    def first(size: int) -> tuple[list[Record], int]:
        """The logger reads the last words right after the sink has found nothing, and ends."""
        monkeypatch.setattr(pipes.ring, "take", take)
        found = take(size)
        os.write(pipes.writers.fds[0], b"last words\n")
        logger._read(pipes.readers[0], 0)
        sink._closing = True
        sink.wake()
        return found

    monkeypatch.setattr(pipes.ring, "take", first)
    sink.start()
    sink.join(9.0)
    assert path.read_text().endswith("last words\n")
