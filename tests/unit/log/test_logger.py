"""The logger's class, without its process."""

from __future__ import annotations

import os

from poolq.log.formats import FORMATS
from poolq.log.frames import end_of_job
from poolq.log.line_assembly import LineAssembler
from poolq.log.logger import Logger
from poolq.log.pipes import NAMED_SOURCES, Pipes
from poolq.log.sink import LoggerSetup


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
