"""The log in trouble: nothing is lost that need not be, and whatever stalls stops nobody."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from poolq.log import logger
from poolq.log.reporting import Log
from tests.support.logpool import MakeLogs, done, lines, numbers, report
from tests.support.wait import until


def test_a_killed_logger_loses_nothing(make_logs: MakeLogs, path: Path) -> None:
    """Killed again and again while a worker writes as fast as it can. A line may come twice: the
    logger died after it was written and before that was noted."""
    count = 80_000
    pool = make_logs(path)
    pid = pool.write(0, report(count))
    for size in range(1, 7):
        until(lambda least=size << 20: path.exists() and path.stat().st_size > least)
        pool.kill(pool.logger)
        pool.start()
    assert pool.wait(pid) == 0
    assert pool.finish() == 0
    written = lines(path, torn=6)
    assert not [line for line in written if "dropped" in line]
    found = numbers(written)
    assert sorted(set(found)) == list(range(count))
    assert len(found) - count < 6 * 1000


def test_a_line_that_a_killed_logger_has_torn_stays_alone(make_logs: MakeLogs, path: Path) -> None:
    torn = "2026-11-27 11:51:5"
    path.write_text(torn)
    pool = make_logs(path)
    assert pool.wait(pool.write(0, report(2))) == 0
    assert pool.finish() == 0
    assert path.read_text().splitlines()[0] == torn
    assert numbers(lines(path, torn=1)) == [0, 1]


def test_a_logger_that_hangs_shows_by_its_beat_and_loses_nothing(
    make_logs: MakeLogs, path: Path
) -> None:
    pool = make_logs(path)
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


def test_a_sink_that_stalls_stops_nobody(make_logs: MakeLogs, path: Path) -> None:
    count = 130_000  # some 11 MB; 8 are kept
    read, write = os.pipe()
    pool = make_logs(err=write)
    os.close(write)
    assert pool.wait(pool.write(0, report(count)), 60) == 0, "though nobody has read a line yet"
    with path.open("wb") as copy:
        reader = subprocess.Popen(["cat"], stdin=read, stdout=copy)
        os.close(read)
        assert pool.finish() == 0
        assert reader.wait(60) == 0
    found = lines(path)
    (loss,) = [line for line in found if "dropped" in line]
    lost = int(re.findall(r"^logger: warning: (\d+) lines were dropped", loss)[0])
    kept = numbers(found)
    assert kept == sorted(kept)
    assert kept[-1] == count - 1
    assert lost + len(kept) == count
    gap = found.index(loss)
    assert numbers(found[gap + 1 :])[0] - numbers(found[:gap])[-1] == lost + 1, "told at its place"


def test_a_full_disk_stops_nobody_and_loses_nothing_soon(make_logs: MakeLogs, path: Path) -> None:
    path.symlink_to("/dev/full")
    pool = make_logs(path)
    assert pool.wait(pool.write(0, report(20_000))) == 0
    path.unlink()
    os.kill(pool.logger, signal.SIGUSR1)
    assert pool.finish() == 0
    assert numbers(lines(path)) == list(range(20_000))


def test_a_folder_that_is_missing_is_waited_for(make_logs: MakeLogs, tmp_path: Path) -> None:
    path = tmp_path / "later" / "poolq.log"
    pool = make_logs(path)
    assert pool.wait(pool.write(0, report(10))) == 0
    path.parent.mkdir()
    assert pool.finish() == 0
    assert numbers(lines(path)) == list(range(10))


def test_a_reader_that_is_gone_is_not_waited_for(
    make_logs: MakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "FLUSH_TIMEOUT", 600)
    read, write = os.pipe()
    os.close(read)
    pool = make_logs(err=write)
    os.close(write)
    assert pool.wait(pool.write(0, report(10_000))) == 0
    assert pool.finish() == 0


def test_stderr_may_be_non_blocking(make_logs: MakeLogs, path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    pool = make_logs(err=write)
    os.close(write)
    assert pool.wait(pool.write(0, report(5_000))) == 0
    with path.open("wb") as copy:
        reader = subprocess.Popen(["cat"], stdin=read, stdout=copy)
        os.close(read)
        assert pool.finish() == 0
        assert reader.wait(60) == 0
    assert numbers(lines(path)) == list(range(5_000))


def test_the_master_never_waits_for_the_log(make_logs: MakeLogs, path: Path) -> None:
    pool = make_logs(path)
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


def test_it_outlives_the_master_until_nobody_is_left(make_logs: MakeLogs, path: Path) -> None:
    pool = make_logs(path)
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


def test_signals_to_all_do_not_end_it(make_logs: MakeLogs, path: Path) -> None:
    pool = make_logs(path)
    for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2):
        os.kill(pool.logger, how)
    pool.wait(pool.write(0, report(10)))
    assert pool.finish() == 0
    assert numbers(lines(path)) == list(range(10))


def test_a_stray_that_holds_a_pipe_does_not_hold_up_the_end(
    make_logs: MakeLogs, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "FLUSH_TIMEOUT", 600)
    pool = make_logs(path)
    read, write = os.pipe()

    def main(log: Log) -> None:
        if os.fork() == 0:  # a daemon that a job left
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        log.report(done(1))

    pool.wait(pool.write(0, main))
    assert pool.finish() == 0
    assert numbers(lines(path)) == [1]
    for fd in (read, write):
        os.close(fd)


def test_a_job_does_not_fail_because_the_log_is_gone(make_logs: MakeLogs) -> None:
    pool = make_logs()
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
