"""What all processes of a pool say is one log: in order, whole, and nothing interleaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from poolq.jobs.job import Job, build
from poolq.jobs.message import Message
from poolq.jobs.running import call
from poolq.log.events import Failed, Note
from poolq.log.reporting import Log
from tests.support.logpool import ROWS, MakeLogs, done, lines, numbers, report
from tests.support.wait import until


class Says(Job):
    name = "says"

    def run(self) -> None:
        print("from Python")
        print("to stderr", file=sys.stderr)
        subprocess.run(["echo", "from a program"], check=True)


def run_says(_log: Log) -> None:
    call(build(Says, Message(1, "0192", "says", "default"), 1, "default"))


def test_whoever_speaks_in_a_job_is_heard_with_slot_and_job(
    make_logs: MakeLogs, path: Path
) -> None:
    pool = make_logs(path)
    pool.wait(pool.write(2, run_says))
    assert pool.finish() == 0
    assert sorted(lines(path)) == [
        "worker 3 0192: from Python",
        "worker 3 0192: to stderr",
        "worker 3 job-2: from a program",
    ]
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()


def test_nothing_interleaves(make_logs: MakeLogs, path: Path) -> None:
    """Eight workers at once, each with lines, long blocks, prints, and a program beside it."""
    rounds = 60
    trace = "\n".join(f"{number:04d} {'.' * 60}" for number in range(150))
    program = f"for i in $(seq {rounds}); do echo program $i {'=' * 200} end; done"

    def main(log: Log) -> None:
        beside = subprocess.Popen(["sh", "-c", program])
        for number in range(rounds):
            log.report(done(number))
            print(f"print {number} {'-' * 300} end")
            os.write(1, b"raw %d %b end\n" % (number, b"+" * 300))
            log.report(Failed("jobs:Work", f"{number}", "default", 1, 0.0015, "error", "E", trace))
        beside.wait()

    pool = make_logs(path)
    for pid in [pool.write(row, main) for row in range(ROWS)]:
        assert pool.wait(pid) == 0
    assert pool.finish() == 0
    found = lines(path)
    assert len(found) == ROWS * rounds * 5
    indented = trace.replace("\n", "\n    ")
    for slot in range(1, ROWS + 1):
        said = [line.partition(": ") for line in found if line.startswith(f"worker {slot}")]
        own = [text for who, _, text in said if who == f"worker {slot}"]
        raw = [text for who, _, text in said if who == f"worker {slot} job-{slot - 1}"]
        assert [text for text in own if text[0] in "dp"] == [
            text
            for number in range(rounds)
            for text in (
                f"done jobs:Work id-{number} queue=default attempt=1 in 1.5 ms",
                f"print {number} {'-' * 300} end",
            )
        ]
        assert [text for text in own if text[0] == "f"] == [
            f"failed jobs:Work {number} queue=default attempt=1 after 1.5 ms (error): E\n"
            f"    {indented}"
            for number in range(rounds)
        ]
        assert [text for text in raw if text[0] == "r"] == [
            f"raw {number} {'+' * 300} end" for number in range(rounds)
        ]
        assert [text for text in raw if text[0] == "p"] == [
            f"program {number} {'=' * 200} end" for number in range(1, rounds + 1)
        ]


def test_usr1_opens_a_new_file(make_logs: MakeLogs, path: Path) -> None:
    old = path.with_suffix(".1")
    pool = make_logs(path)
    pool.wait(pool.write(0, report(10)))
    until(lambda: len(numbers(lines(path))) == 10)
    path.rename(old)
    pool.wait(pool.write(1, report(10)))
    until(lambda: len(lines(old)) == 20, what="the lines in the file that was moved")
    os.kill(pool.logger, signal.SIGUSR1)
    until(path.exists)
    pool.wait(pool.write(2, report(10)))
    assert pool.finish() == 0
    assert numbers(lines(old), "worker 2") == numbers(lines(path), "worker 3") == list(range(10))


def test_usr1_without_a_way_to_the_new_file_keeps_the_old_one(
    make_logs: MakeLogs, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    pool = make_logs(folder / "poolq.log")
    pool.wait(pool.write(0, report(1)))
    until(lambda: lines(folder / "poolq.log"))
    moved = folder.rename(tmp_path / "moved")
    os.kill(pool.logger, signal.SIGUSR1)
    said = until(lambda: [line for line in lines(moved / "poolq.log") if "reopened" in line])
    assert said[0].startswith("logger: error: ")
    pool.wait(pool.write(1, report(1)))
    assert pool.finish() == 0
    assert numbers(lines(moved / "poolq.log"), "worker 2") == [0]


def test_a_line_that_nobody_ends_is_written_after_a_second(make_logs: MakeLogs, path: Path) -> None:
    pool = make_logs(path)
    read, write = os.pipe()

    def main(_log: Log) -> None:
        os.write(1, b"half of a li")
        os.write(1, b"ne\nprogress")
        print("and Python", end="", flush=True)
        os.read(read, 1)
        print(" says more")
        os.write(1, b"the last")

    pid = pool.write(0, main)
    until(lambda: len(lines(path)) == 3, 5)
    os.write(write, b".")
    assert pool.wait(pid) == 0
    assert pool.finish() == 0
    whole, *silent = lines(path)[:3]
    assert whole == "worker 1 job-0: half of a line"
    assert sorted(silent) == ["worker 1 job-0: progress", "worker 1: and Python"]
    assert lines(path)[3:] == ["worker 1:  says more", "worker 1 job-0: the last"]
    for fd in (read, write):
        os.close(fd)


def test_no_job_can_steer_a_terminal_or_forge_a_line(make_logs: MakeLogs, path: Path) -> None:
    pool = make_logs(path)

    def main(log: Log) -> None:
        os.write(1, b"\x1b]0;title\x07 \xff\xfe \x1e \xc2\x9b31m\r\n")
        print("\x1b[2J \x9b31m \udc80")
        log.report(Note("info", "one\n2026-11-25 10:00:00.000 master: forged\x1b[2J"))

    pool.wait(pool.write(0, main))
    assert pool.finish() == 0
    data = path.read_bytes()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", data)
    assert lines(path) == [
        r"worker 1 job-0: \x1b]0;title\x07 \xff\xfe \x1e \x9b31m",
        r"worker 1: \x1b[2J \x9b31m \udc80",
        "worker 1: one\n    2026-11-25 10:00:00.000 master: forged\\x1b[2J",
    ]


def test_a_jobs_own_child_does_not_repeat_what_its_parent_has_to_say(
    make_logs: MakeLogs, path: Path
) -> None:
    pool = make_logs(path)

    def main(log: Log) -> None:
        log.report(done(1))
        child = os.fork()
        if child == 0:
            print("the child")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        log.report(done(2))

    pool.wait(pool.write(0, main))
    assert pool.finish() == 0
    assert sorted(lines(path)) == sorted(
        [
            *(f"worker 1: done jobs:Work id-{n} queue=default attempt=1 in 1.5 ms" for n in (1, 2)),
            "worker 1: the child",
        ]
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def run_closes_its_stdout(_log: Log) -> None:
    for turn in ("first", "second"):
        with sys.stdout:
            print("within the", turn)
        sys.stderr.close()
        print("after the", turn, file=sys.stderr)


def test_a_stream_that_a_job_closes_is_open_for_the_next(make_logs: MakeLogs, path: Path) -> None:
    pool = make_logs(path)
    pool.wait(pool.write(2, run_closes_its_stdout))
    assert pool.finish() == 0
    assert [line.partition(": ")[2] for line in lines(path)] == [
        "within the first",
        "after the first",
        "within the second",
        "after the second",
    ]
