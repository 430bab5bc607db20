"""The log's pipes, and what a process writes to its own."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from poolq.jobs.job import Job, build
from poolq.jobs.message import Message
from poolq.jobs.running import call
from poolq.log.events import Finished, Note, Retried
from poolq.log.formats import TextFormat
from poolq.log.frames import frames
from poolq.log.line_assembly import LineAssembler
from poolq.log.pipes import NAMED_SOURCES, Pipes
from poolq.log.reporting import EVENT_LOGGER, Handler, Log, OutputStream
from poolq.log.ring import Record

ROWS = 3


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes(ROWS)
    yield made
    for fd in (*made.readers, *made.writers.fds):
        os.close(fd)


@pytest.fixture
def log(pipes: Pipes) -> Log:
    made = Log(TextFormat())
    attach(made, pipes)
    return made


def attach(log: Log, pipes: Pipes, job: Callable[[], str] = str) -> None:
    fd, token = pipes.writers.fds[0], pipes.writers.token
    log.attach("worker 1", fd, token, job=job, streams=False)


@pytest.fixture
def logger(log: Log) -> Iterator[logging.Logger]:
    """A logger of the application, whose records go into the log."""
    made, handler = logging.getLogger("tests.pipes"), Handler(log)
    made.addHandler(handler)
    yield made
    made.removeHandler(handler)


def said(pipes: Pipes, source: int = 0) -> list[str]:
    """What was written to a pipe, as lines of the logger without time stamps."""
    try:
        data = os.read(pipes.readers[source], 1 << 20)
    except BlockingIOError:
        return []
    lines = LineAssembler(TextFormat(), pipes.writers.token, ROWS, NAMED_SOURCES)
    found = lines.take(Record(source, 0.0, source + 1, "row's", data), 0.0)
    text = b"".join([*found, *lines.reset()]).decode()
    return [line[24:] if line[:1].isdigit() else line for line in text.splitlines()]


class Says(Job):
    name = "says"

    def run(self) -> None:
        print("hello", file=self.payload["out"])
        logging.getLogger("tests.pipes").warning("look")


def test_python_output_keeps_its_place_among_the_events(pipes: Pipes, log: Log) -> None:
    log.report(Note("info", "before"))
    print("hello\nagain", file=OutputStream(log, 1))
    log.report(Note("info", "after"))
    log.flush()
    assert said(pipes) == [
        "worker 1: before",
        "worker 1: hello",
        "worker 1: again",
        "worker 1: after",
    ]


def test_what_python_prints_in_a_job_belongs_to_that_job(
    pipes: Pipes, log: Log, logger: logging.Logger
) -> None:
    """Whatever the row shows when the pipe is read. For the job's threads it is what the row
    shows."""
    job = build(Says, Message(1, "0192", "says", "q", {}), 1, "q")
    job.payload["out"] = OutputStream(log, 2)
    call(job)
    attach(log, pipes, lambda: "row")
    thread = threading.Thread(target=lambda: logger.warning("a thread"))
    thread.start()
    thread.join()
    assert said(pipes) == [
        "worker 1 0192: hello",
        "worker 1 0192: warning: tests.pipes: look",
        "worker 1 row: warning: tests.pipes: a thread",
    ]


def test_a_line_that_a_job_has_begun_ends_with_the_job(pipes: Pipes, log: Log) -> None:
    """Whether the stream still holds it, or the logger does."""
    running = ["1"]
    attach(log, pipes, lambda: running[0])
    out, err = OutputStream(log, 1), OutputStream(log, 2)
    print("held", end="", file=out)
    print("sent", end="", file=err, flush=True)
    log.report(Note("info", "no end of a job"))
    log.report(Finished("jobs:A", "1", "q", 1, 0.5))
    running[0] = "2"
    out.buffer.write(b"bytes")
    log.report(Finished("jobs:A", "2", "q", 1, 0.5))
    print("whole", file=out)
    log.report(Finished("jobs:A", "2", "q", 1, 0.5))
    log.flush()
    done = "worker 1: done jobs:A {} queue=q attempt=1 in 500.0 ms"
    assert said(pipes) == [
        "worker 1: no end of a job",
        "worker 1 1: held",
        "worker 1 1: sent",
        done.format(1),
        "worker 1 2: bytes",
        done.format(2),
        "worker 1 2: whole",
        done.format(2),
    ]


def test_what_a_program_writes_belongs_to_the_job_that_has_ended_since(
    pipes: Pipes, log: Log
) -> None:
    """Although the logger reads it while another job runs."""
    fd = pipes.writers.fds[0]
    log.job_ended("quiet")
    assert said(pipes) == [], "nothing is marked where nothing is unread"
    os.write(fd, b"one\nhalf")
    log.report(Finished("jobs:A", "earlier", "q", 1, 0.5))
    log.flush()
    log.job_ended("1")
    log.report(Finished("jobs:A", "1", "q", 1, 0.5))
    os.write(fd, b"two\n")
    log.job_ended("2")
    os.write(fd, b"three\n")
    log.flush()
    data = os.read(pipes.readers[0], 1 << 20)
    lines = LineAssembler(TextFormat(), pipes.writers.token, ROWS, NAMED_SOURCES)
    found = b"".join(lines.take(Record(0, 4e9, 1, "row's", data), 0.0)).decode().splitlines()
    assert [line[24:].partition(" queue=")[0] for line in found] == [
        "worker 1 1: one",
        "worker 1: done jobs:A earlier",
        "worker 1 1: half",
        "worker 1 2: two",
        "worker 1 row's: three",
        "worker 1: done jobs:A 1",
    ]
    stamps = [line[:23] for line in found]
    assert stamps[0] == stamps[2] <= stamps[5]
    assert stamps[3] < stamps[4]


def test_two_streams_do_not_end_each_others_lines(pipes: Pipes, log: Log) -> None:
    out, err = OutputStream(log, 1), OutputStream(log, 2)
    print("half", end="", file=out, flush=True)
    os.write(pipes.writers.fds[0], b"a program's ")
    print("oh", file=err)
    print(" a line", file=out)
    os.write(pipes.writers.fds[0], b"own")
    assert said(pipes) == [
        "worker 1: oh",
        "worker 1: half a line",
        "worker 1 row's: a program's own",
    ]


def test_bytes_and_odd_text_pass(pipes: Pipes, log: Log) -> None:
    out = OutputStream(log, 1)
    out.buffer.write(b"\xff\n")
    out.flush()
    print("\udc80", file=out)
    assert said(pipes) == [r"worker 1: \xff", r"worker 1: \udc80"]
    assert out.fileno() == 1
    assert not out.isatty()


def test_the_stdlibs_logging_comes_along(pipes: Pipes, logger: logging.Logger) -> None:
    logger.setLevel(logging.INFO)
    logger.info("%s sent\nby hand", 3)
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("failed")
    found = said(pipes)
    assert found[:3] == [
        "worker 1: info: tests.pipes: 3 sent",
        "    by hand",
        "worker 1: error: tests.pipes: failed",
    ]
    assert found[3] == "    Traceback (most recent call last):"
    assert found[-1] == "    ValueError: odd"


def test_events_are_offered_to_handlers_of_the_application(pipes: Pipes, log: Log) -> None:
    seen: list[logging.LogRecord] = []

    class Mine(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)
            raise RuntimeError("broken")

    mine, quiet = Mine(), logging.NullHandler()
    EVENT_LOGGER.addHandler(quiet)
    EVENT_LOGGER.addHandler(mine)
    try:
        event = Retried("jobs:A", "1", "q", 1, 3, 0.5, "error", "E", 0.0)
        log.report(event)
        log.report(Finished("jobs:A", "1", "q", 2, 0.5))
    finally:
        EVENT_LOGGER.removeHandler(mine)
        EVENT_LOGGER.removeHandler(quiet)
    log.flush()
    assert [record.levelname for record in seen] == ["WARNING", "INFO"]
    assert vars(seen[0])["event"] == event
    assert seen[0].getMessage().startswith("retried jobs:A 1")
    assert (
        sum("a handler of poolq.events raised RuntimeError: broken" in x for x in said(pipes)) == 2
    )


def test_the_level_of_the_events_is_the_applications_choice(pipes: Pipes, log: Log) -> None:
    EVENT_LOGGER.setLevel(logging.WARNING)
    try:
        log.report(Finished("jobs:A", "1", "q", 1, 0.5))
        log.report(Note("warning", "told"))
    finally:
        EVENT_LOGGER.setLevel(logging.NOTSET)
    log.flush()
    assert said(pipes) == ["worker 1: warning: told"]


# what the logger makes of it


def test_raw_lines_get_the_slot_and_the_job_of_their_beginning() -> None:
    lines = LineAssembler(TextFormat(), b"01234567", ROWS, NAMED_SOURCES)
    frame = next(frames(b"01234567", [b"worded\n"]))
    one = Record(0, 0.0, 4, "first", b"be" + frame + b"gun")
    two = Record(0, 0.0, 4, "second", b" line\r\nnext\n")
    other = Record(ROWS + 2, 0.0, 0, "", b"import\n")
    assert lines.take(one, 0.0) == [b"worded\n"]
    assert [data[24:] for data in lines.take(two, 0.0)] == [
        b"worker 4 first: begun line\n",
        b"worker 4 second: next\n",
    ]
    assert [data[24:] for data in lines.take(other, 0.0)] == [b"template: import\n"]
