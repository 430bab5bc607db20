"""The log of a pool: nothing is lost, nothing interleaves, and whatever stalls stops nobody."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from poolq.jobs import Job, build
from poolq.running import call
from poolq.view.reporting import Log
from poolq.worker.events import Failed, Finished, Note
from tests.support.logpool import ROWS, LogPool
from tests.support.wait import until

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "
MakePool = Callable[..., LogPool]


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    with ExitStack() as stack:

        def make(path: Path | None = None, err: int = 2, form: str = "text") -> LogPool:
            pool = LogPool(path, err, form)
            stack.callback(pool.close)
            pool.start()
            pool.until_up()
            return pool

        yield make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "poolq.log"


def lines(path: Path) -> list[str]:
    """The whole ones, without the stamps that all must have; what goes on is one with its line."""
    if not path.exists():
        return []
    text = path.read_text().rpartition("\n")[0]
    assert "\r" not in text
    found = text.replace("\n    ", "\r").split("\n") if text else []
    for line in found:
        assert re.match(STAMP, line), line
    return [re.sub(STAMP, "", line, count=1).replace("\r", "\n    ") for line in found]


def done(number: int) -> Finished:
    return Finished("jobs:Work", f"id-{number}", "default", 1, 0.0015)


def numbers(found: list[str], who: str = "worker 1") -> list[int]:
    return [
        int(match[1])
        for line in found
        if (match := re.fullmatch(rf"{who}: done jobs:Work id-(\d+) .* in 1\.5 ms", line))
    ]


def report(count: int) -> Callable[[Log], None]:
    def main(log: Log) -> None:
        for number in range(count):
            log.report(done(number))

    return main


class Says(Job):
    name = "says"

    def run(self) -> None:
        print("from Python")
        print("to stderr", file=sys.stderr)
        subprocess.run(["echo", "from a program"], check=True)


def run_says(_log: Log) -> None:
    call(build(Says, id="0192", payload={}, attempt=1, queue="default"))


def test_whoever_speaks_in_a_job_is_heard_with_slot_and_job(
    make_pool: MakePool, path: Path
) -> None:
    pool = make_pool(path)
    pool.wait(pool.write(2, run_says))
    assert pool.finish() == 0
    assert sorted(lines(path)) == [
        "worker 3 0192: from Python",
        "worker 3 0192: to stderr",
        "worker 3 job-2: from a program",
    ]
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()


def test_json_says_the_same(make_pool: MakePool, path: Path) -> None:
    pool = make_pool(path, form="json")
    pool.wait(pool.write(2, run_says))
    pool.master.report(Note("warning", "watch out"))
    assert pool.finish() == 0
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(re.fullmatch(r"....-..-..T..:..:..\....Z", one.pop("time")) for one in found)
    output = {"level": "info", "who": "worker 3", "event": "output"}
    assert sorted(found, key=str) == sorted(
        [
            {**output, "id": "0192", "stream": "stdout", "text": "from Python"},
            {**output, "id": "0192", "stream": "stderr", "text": "to stderr"},
            {**output, "id": "job-2", "stream": "unknown", "text": "from a program"},
            {"level": "warning", "who": "master", "event": "note", "text": "watch out"},
        ],
        key=str,
    )


def test_nothing_interleaves(make_pool: MakePool, path: Path) -> None:
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

    pool = make_pool(path)
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


def test_a_killed_logger_loses_nothing(make_pool: MakePool, path: Path) -> None:
    """Killed again and again while a worker writes as fast as it can. A line may come twice: the
    logger died after it was written and before that was noted."""
    count = 150_000
    pool = make_pool(path)
    pid = pool.write(0, report(count))
    for size in range(1, 7):
        until(lambda least=size << 21: path.exists() and path.stat().st_size > least)
        pool.kill(pool.logger)
        pool.start()
    assert pool.wait(pid) == 0
    assert pool.finish() == 0
    assert not [line for line in lines(path) if "dropped" in line]
    found = numbers(lines(path))
    assert sorted(set(found)) == list(range(count))
    assert len(found) - count < 6 * 1000


def test_a_logger_that_hangs_shows_by_its_beat_and_loses_nothing(
    make_pool: MakePool, path: Path
) -> None:
    pool = make_pool(path)
    os.kill(pool.logger, signal.SIGSTOP)
    pid = pool.write(0, report(100))
    assert pool.wait(pid) == 0, "a full pipe's worth is taken without it"
    pool.beaten()
    pool.kill(pool.logger)
    assert not pool.beaten()
    pool.start()
    pool.until_up()
    assert pool.finish() == 0
    assert numbers(lines(path)) == list(range(100))


def test_a_sink_that_stalls_stops_nobody(make_pool: MakePool, path: Path) -> None:
    count = 200_000  # over 16 MB, twice of what is kept
    read, write = os.pipe()
    pool = make_pool(err=write)
    os.close(write)
    begun = monotonic()
    assert pool.wait(pool.write(0, report(count))) == 0
    assert monotonic() - begun < 15
    with path.open("wb") as copy:
        reader = subprocess.Popen(["cat"], stdin=read, stdout=copy)
        os.close(read)
        assert pool.finish() == 0
        assert reader.wait(10) == 0
    found = lines(path)
    (loss,) = [line for line in found if "dropped" in line]
    lost = int(re.findall(r"^logger: warning: (\d+) lines were dropped", loss)[0])
    kept = numbers(found)
    assert kept == sorted(kept)
    assert kept[-1] == count - 1
    assert lost + len(kept) == count
    gap = found.index(loss)
    assert numbers(found[gap + 1 :])[0] - numbers(found[:gap])[-1] == lost + 1, "told at its place"


def test_a_full_disk_stops_nobody_and_loses_nothing_soon(make_pool: MakePool, path: Path) -> None:
    path.symlink_to("/dev/full")
    pool = make_pool(path)
    assert pool.wait(pool.write(0, report(20_000))) == 0
    path.unlink()
    os.kill(pool.logger, signal.SIGUSR1)
    assert pool.finish() == 0
    assert numbers(lines(path)) == list(range(20_000))


def test_a_folder_that_is_missing_is_waited_for(make_pool: MakePool, tmp_path: Path) -> None:
    path = tmp_path / "later" / "poolq.log"
    pool = make_pool(path)
    assert pool.wait(pool.write(0, report(10))) == 0
    path.parent.mkdir()
    assert pool.finish() == 0
    assert numbers(lines(path)) == list(range(10))


def test_a_reader_that_is_gone_is_not_waited_for(make_pool: MakePool) -> None:
    read, write = os.pipe()
    os.close(read)
    pool = make_pool(err=write)
    os.close(write)
    assert pool.wait(pool.write(0, report(10_000))) == 0
    begun = monotonic()
    assert pool.finish() == 0
    assert monotonic() - begun < 4


def test_stderr_may_be_non_blocking(make_pool: MakePool, path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    pool = make_pool(err=write)
    os.close(write)
    assert pool.wait(pool.write(0, report(5_000))) == 0
    with path.open("wb") as copy:
        reader = subprocess.Popen(["cat"], stdin=read, stdout=copy)
        os.close(read)
        assert pool.finish() == 0
        assert reader.wait(10) == 0
    assert numbers(lines(path)) == list(range(5_000))


def test_usr1_opens_a_new_file(make_pool: MakePool, path: Path) -> None:
    old = path.with_suffix(".1")
    pool = make_pool(path)
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
    make_pool: MakePool, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    pool = make_pool(folder / "poolq.log")
    pool.wait(pool.write(0, report(1)))
    until(lambda: lines(folder / "poolq.log"))
    moved = folder.rename(tmp_path / "moved")
    os.kill(pool.logger, signal.SIGUSR1)
    said = until(lambda: [line for line in lines(moved / "poolq.log") if "anew" in line])
    assert said[0].startswith("logger: error: ")
    pool.wait(pool.write(1, report(1)))
    assert pool.finish() == 0
    assert numbers(lines(moved / "poolq.log"), "worker 2") == [0]


def test_the_master_never_waits_for_the_log(make_pool: MakePool, path: Path) -> None:
    pool = make_pool(path)
    os.kill(pool.logger, signal.SIGSTOP)
    count = 5_000
    for number in range(count):
        pool.master.report(done(number))
        pool.master.flush()
    os.kill(pool.logger, signal.SIGCONT)

    def kept() -> list[int]:
        return numbers(lines(path), "master")

    until(lambda: len(kept()) > 100)
    until(pool.beaten)
    pool.master.report(done(count))
    assert pool.finish() == 0
    (loss,) = [line for line in lines(path) if "dropped" in line]
    lost = int(re.findall(r"^master: warning: (\d+) lines of this process were dropped", loss)[0])
    assert lost + len(kept()) == count + 1
    assert kept()[-1] == count


def test_it_outlives_the_master_until_nobody_is_left(make_pool: MakePool, path: Path) -> None:
    pool = make_pool(path)
    read, write = os.pipe()

    def orphan(log: Log) -> None:
        os.close(write)
        print("begun")
        os.read(read, 1)
        report(100)(log)

    pid = pool.write(0, orphan)
    until(lambda: lines(path))
    pool.drop_ends()
    os.kill(pool.logger, signal.SIGTERM)
    until(pool.beaten)
    os.close(write)
    assert pool.wait(pid) == 0
    assert pool.wait(pool.logger) == 0
    assert numbers(lines(path)) == list(range(100))
    os.close(read)


def test_signals_to_all_do_not_end_it(make_pool: MakePool, path: Path) -> None:
    pool = make_pool(path)
    for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2):
        os.kill(pool.logger, how)
    pool.wait(pool.write(0, report(10)))
    assert pool.finish() == 0
    assert numbers(lines(path)) == list(range(10))


def test_a_stray_that_holds_a_pipe_does_not_hold_up_the_end(
    make_pool: MakePool, path: Path
) -> None:
    pool = make_pool(path)
    read, write = os.pipe()

    def main(log: Log) -> None:
        if os.fork() == 0:  # a daemon that a job left
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        log.report(done(1))

    pool.wait(pool.write(0, main))
    begun = monotonic()
    assert pool.finish() == 0
    assert monotonic() - begun < 3
    assert numbers(lines(path)) == [1]
    for fd in (read, write):
        os.close(fd)


def test_a_line_that_nobody_ends_is_written_after_a_second(make_pool: MakePool, path: Path) -> None:
    pool = make_pool(path)
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


def test_no_job_can_steer_a_terminal_or_forge_a_line(make_pool: MakePool, path: Path) -> None:
    pool = make_pool(path)

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


def test_an_endless_line_is_cut(make_pool: MakePool, path: Path) -> None:
    pool = make_pool(path)

    def main(_log: Log) -> None:
        sys.stdout.buffer.write(b"x" * 200_000 + b"\n")
        sys.stdout.buffer.flush()
        subprocess.run(["sh", "-c", "printf %0200000d 0"], check=True)

    pool.wait(pool.write(0, main))
    assert pool.finish() == 0
    found = [line.partition(": ")[2] for line in lines(path)]
    goes_on = [line.endswith(" [goes on]") for line in found]
    assert goes_on == [True, True, True, False] * 2
    whole = "".join(line.removesuffix(" [goes on]") for line in found)
    assert whole == "x" * 200_000 + "0" * 200_000


def test_a_jobs_own_child_does_not_repeat_what_its_parent_has_to_say(
    make_pool: MakePool, path: Path
) -> None:
    pool = make_pool(path)

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


def test_a_job_does_not_fail_because_the_log_is_gone(make_pool: MakePool) -> None:
    pool = make_pool()
    read, write = os.pipe()

    def main(log: Log) -> None:
        os.close(write)
        os.read(read, 1)
        for _ in range(10_000):
            print("into nothing", flush=True)
            print("half", end="", flush=True)
            log.report(done(1))
        os._exit(7)

    pid = pool.write(0, main)
    pool.kill(pool.logger)
    pool.drop_ends()
    os.close(write)
    assert pool.wait(pid) == 7
    os.close(read)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
