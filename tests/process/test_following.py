"""`poolq log` and the events of a pool: what is printed is followed, and what happens is told."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.process.engines import sqlite
from tests.support.cli import Command, environment
from tests.support.project import STANDARD, Project
from tests.support.talking import attached, begin, ended, look, poolq
from tests.support.wait import patience, until

JOBS = f"""{STANDARD.read_text()}

class Prints(Job):
    def run(self):
        print(self.payload["text"], end="")

class Program(Job):
    def run(self):
        subprocess.run(["echo", self.payload["text"]], check=True)
"""
STAMPED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) worker (\d+)(?: (\w+))?: (.*)")

pytestmark = sqlite


def test_the_log_of_a_job_or_worker_is_followed(project: Project) -> None:
    pool = project.ready(2)
    followed = begin(pool, "log", "--follow", "--job=Prints")
    held = project.dispatch("Held")
    project.ledger.until("start", held)
    texts = [f"line {number}" for number in range(40)]
    ids = project.dispatch_many("Prints", [{"text": text} for text in texts])
    programs = project.dispatch_many("Program", [{"text": text} for text in texts[:20]])
    until(lambda: project.total("done") == len(ids) + len(programs))
    project.ledger.open()
    until(project.settled)
    pool.until_idle(2)
    pool.until_said(f"done jobs:Held {held}")
    pool.until_said("done jobs:Pr", times=len(ids) + len(programs))

    about = "|".join(("jobs:Prints", *ids))

    def lines(*options: str) -> list[str]:
        return poolq(pool, "log", *options).out.splitlines()

    shown = poolq(pool, "log", f"--job={ids[7]}").out.splitlines()
    assert shown == [line for line in pool.log.splitlines() if ids[7] in line]
    printed = [found for line in pool.log.splitlines() if (found := STAMPED.fullmatch(line))]
    for id, text in zip(ids, texts, strict=True):
        first, done = (one for one in printed if id in one[0])
        assert first.group(3, 4) == (id, text), "in a line of its own"
        assert done[4].startswith(f"done jobs:Prints {id} ")
        assert first[1] <= done[1]
    found = [(one[3], one[4]) for one in printed if one[3] in programs]
    assert sorted(found) == sorted(zip(programs, texts, strict=False))
    assert len(lines("--job=jobs:Prints", "--lines=1000")) == 80
    assert lines("--job=Prints", "--lines=2") == lines("--job=Prints")[-2:]
    workers = [lines(f"--worker={slot}", "--lines=1000") for slot in (1, 2)]
    assert all(f" worker {slot}" in line for slot in (1, 2) for line in workers[slot - 1])
    assert sum(re.search(about, line) is not None for one in workers for line in one) == 80
    assert lines("--since=1h")[0].endswith("2 workers, all queues")
    assert "no line of the log matches" in poolq(pool, "log", "--level=warning").line
    assert poolq(pool, "log", "--since=often").code == 2
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    done = ended(followed)
    assert (done.code, done.err.splitlines()[-1]) == (0, "poolq: the pool has ended")
    assert done.out.splitlines() == [one for one in pool.log.splitlines() if re.search(about, one)]


def test_the_log_is_followed_until_the_jobs_of_a_killed_master_have_ended(
    project: Project, tmp_path: Path
) -> None:
    pool = project.ready(1)
    held = project.dispatch("Held")
    pool.until_runs(held)
    shown = tmp_path / "shown"
    with shown.open("w") as out:
        follow = [sys.executable, "-m", "poolq", "log", "--follow"]
        env = environment(RUNTIME_DIRECTORY=str(pool.runtime))
        process = subprocess.Popen(follow, env=env, stdout=out, stderr=out)
    until(lambda: "pool default starts" in shown.read_text())
    pool.kill_master()
    until(lambda: "poolq: the pool's master has died" in shown.read_text())
    assert "has ended" not in shown.read_text()
    project.ledger.open()
    pool.until_gone()
    assert process.wait(patience(20)) == 0
    assert f"done jobs:Held {held}" in shown.read_text()
    assert shown.read_text().splitlines()[-1] == "poolq: the pool has ended"


def test_events_name_jobs_people_and_reasons(project: Project) -> None:
    pool = project.ready(1, "--cooldown=1.5", "--sleep=0.2")
    where = {"POOLQ_ENGINE": project.url, "POOLQ_NAMESPACE": project.namespace}
    engine = Command(project.folder, RUNTIME_DIRECTORY=str(pool.runtime), **where)
    id = project.dispatch("Dies", {"signal": int(signal.SIGKILL)}, max_crashes=1)
    assert poolq(pool, "scale", "2").code == 0
    project.engine.pause("mails")
    until(lambda: id in project.failed())
    assert (engine("queue", "resume", "mails").code, engine("failed", "forget", id).code) == (0, 0)
    for text in (
        f"killed by SIGKILL while it ran jobs:Dies {id}",
        "was replaced: its --cooldown is over",
        ": queue mails is resumed",
        f": job {id} is forgotten",
    ):
        pool.until_said(text)
    with attached(pool) as source:
        told = "\n".join(f"{one.level} {one.who} {one.text}" for one in look(source).events)
    assert re.search(rf"warning master worker 1 \(pid \d+\) killed by SIGKILL .* {id}", told)
    assert re.search(r"info master poolq scale by \S+: 2 workers from now on", told)
    assert re.search(r"info master poolq queue resume by \S+: queue mails is resumed", told)
    assert re.search(rf"info master poolq failed forget by \S+: job {id} is forgotten", told)
    shown = poolq(pool, "status", "--json").json["events"]
    assert [one["at"] for one in shown] == sorted((one["at"] for one in shown), reverse=True)
    until(lambda: all(one["text"] in pool.log for one in shown))
    assert "EVENT" in poolq(pool, "status").out
