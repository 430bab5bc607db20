"""The commands that deal with stored jobs, on SQLite."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from poolq.engines.base import Engine, Push
from poolq.jobs.limits import Gate, Rule
from poolq.jobs.message import Entry, State, entry
from poolq.jobs.outcomes import Bury, Park
from poolq.monitor.job_history import NOT_STORED
from tests.contract.helpers import Worker, push
from tests.support.cli import ROOT, Command, NewCommand, environment
from tests.support.tty import Tty, state_of
from tests.support.wait import until

JOBS = """
import poolq

class Mail(poolq.Job):
    queue = "emails"
    attempts = 3

    def run(self):
        raise ValueError("no such mailbox")

@poolq.job
def greet(to: str) -> None:
    print("hello", to)
"""
ERROR = entry(Entry(1_700_000_000_000_000, "error", "boom \x1b[2J", 1, "Trace\n  here\nboom", "w1"))
NOBODY = "0" * 32


def dispatch(poolq: Command, *args: str) -> str:
    done = poolq("job", "dispatch", *args)
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    return done.out.strip()


def fail(poolq: Command, engine: Engine, worker: Worker, count: int, queue: str) -> list[str]:
    """Have jobs fail for good; their ids."""
    ids = [dispatch(poolq, "jobs:Mail", '{"to": "bob"}', "--queue", queue) for _ in range(count)]
    for claim in worker.claim(count, (queue,)):
        worker.end(claim, Bury(State(1, 0, 0, ERROR)))
    assert all(engine.find(id) for id in ids)
    return ids


@pytest.fixture
def worker(engine: Engine) -> Worker:
    return Worker(engine, queues=None)


def test_dispatch_by_name_where_there_is_no_application(poolq: Command, engine: Engine) -> None:
    done = poolq("job", "dispatch", "jobs:Mail", '{"to": "bob"}', "--queue=q", "--delay=1h",
                 "--attempts=5", "--retry-after=1s,1m")  # fmt: skip
    assert "no module jobs in" in done.line
    shown = poolq("job", "show", done.out.strip(), "--json").json
    assert (shown["status"], shown["queue"], shown["job"]) == ("delayed", "q", "jobs:Mail")
    assert (shown["payload"], shown["attempt"], shown["attempts"]) == ({"to": "bob"}, 0, 5)
    assert shown["due"].endswith("Z")


def test_dispatch_takes_the_options_of_the_class(poolq: Command, engine: Engine) -> None:
    (poolq.folder / "jobs.py").write_text(JOBS)
    id = dispatch(poolq, "jobs:Mail")
    shown = poolq("job", "show", id, "--json").json
    assert (shown["queue"], shown["attempts"], shown["payload"]) == ("emails", 3, {})
    done = poolq("job", "dispatch", "jobs:Mial")
    assert (done.code, done.out) == (1, "")
    assert "did you mean jobs:Mail?" in done.line
    assert poolq("job", "dispatch", "other:Job", "--by-name").code == 0
    done = poolq("job", "dispatch", "jobs:greet", '{"too": "bob"}')
    assert done.code == 2
    assert "missing a required argument: 'to'" in done.line
    dispatch(poolq, "jobs:greet", '{"to": "bob"}')


def test_dispatch_refuses(poolq: Command) -> None:
    for args, code, said in (
        (("x", "[1]"), 2, "payload"),
        (("x", "{"), 2, "line 1 column 2"),
        (("x", "{}", "--delay=soonish"), 2, "soonish"),
        (("x", "{}", "--attempts=0"), 2, "attempts"),
        (("x", "{}", "--queue=a b"), 2, "a b"),
        (("x", "{}", "--app=shop"), 3, "no module 'shop'"),
    ):
        done = poolq("job", "dispatch", *args)
        assert (done.code, done.out) == (code, ""), done.err
        assert said in done.err.splitlines()[-1]
    (poolq.folder / "jobs.py").write_text("def f(:\n")
    done = poolq("job", "dispatch", "jobs:Mail")
    assert done.code == 3
    assert "jobs.py:1: SyntaxError" in done.line


def test_dispatch_reads_stdin_and_runs_on_sync(poolq: Command) -> None:
    (poolq.folder / "jobs.py").write_text(JOBS)
    poolq = NewCommand(poolq.folder)
    done = poolq("job", "dispatch", "jobs:greet", "-", "--engine=sync", stdin='{"to": "bob"}')
    assert (done.code, done.out.splitlines()[0]) == (0, "hello bob")
    done = poolq("job", "dispatch", "jobs:Mail", "--engine=sync")
    assert done.code == 1
    assert "ValueError: no such mailbox" in done.err.splitlines()[-1]


def test_unknown_ids_are_failures(poolq: Command) -> None:
    assert poolq("db", "migrate").code == 0
    done = poolq("job", "show", NOBODY)
    hint = f"'poolq log --job={NOBODY}' prints what a running pool's log still says of it"
    assert (done.code, done.line) == (1, f"job {NOBODY} {NOT_STORED}; {hint}")
    done = poolq("failed", "show", NOBODY, "--json")
    assert (done.code, done.out) == (1, "")
    for args in (("job", "cancel"), ("failed", "retry"), ("failed", "forget")):
        done = poolq(*args, NOBODY)
        assert (done.code, done.out) == (1, "")
        assert NOBODY in done.line


def test_cancel(poolq: Command, engine: Engine, worker: Worker) -> None:
    running, ready, failed = (dispatch(poolq, "x", "--queue", name) for name in "abc")
    (claim,) = worker.claim(1, ("c",))
    worker.end(claim, Bury(State(1)))
    worker.claim(1, ("a",))
    done = poolq("job", "cancel", running, ready, failed)
    assert (done.code, done.out) == (1, f"cancelled {ready}\n")
    said = done.err.splitlines()
    only = "only delayed, parked and ready jobs can be cancelled"
    assert said == [
        f"poolq: job {running} is running; {only}; 'poolq job cancel --running {running}' ends it",
        f"poolq: job {failed} is failed; {only}; 'poolq failed forget {failed}' deletes it",
    ]
    assert engine.find(ready) is None


def test_cancel_running_jobs_too(poolq: Command, engine: Engine, worker: Worker) -> None:
    running, other, ready = (dispatch(poolq, "x", "--queue", name) for name in "abb")
    worker.claim(1, ("a",))
    worker.claim(1, ("b",))
    for args in ("--state=running --all", f"--grace=5 {running}"):
        refused = poolq("job", "cancel", *args.split(), "--yes")
        assert (refused.code, refused.line.partition(" (")[0]) == (
            2, f"{args.split()[0].replace('=5', '').replace('=', ' ')} needs --running",
        )  # fmt: skip
    assert "--grace is 'soon'" in poolq("job", "cancel", "--running", "--grace=soon", running).line
    done = poolq("job", "cancel", "--running", "--grace=1h", running)
    assert (done.code, done.out, done.err) == (0, f"cancelled {running}\n", "")
    (one,) = engine.cancel_requests("n1")
    assert (one.id, one.due > 3_500_000_000) == (running, True)
    done = poolq("job", "cancel", "--running", "--queue=b", "--yes")
    assert (done.code, done.out) == (0, "cancelled 2 jobs\n")
    assert {one.id for one in engine.cancel_requests("n1")} == {running, other}
    assert engine.find(ready) is None


def test_ls_and_what_selects_jobs(poolq: Command, engine: Engine, worker: Worker) -> None:
    assert "there is no job in namespace 'poolq'" in poolq("job", "ls").line
    (failed,) = fail(poolq, engine, worker, 1, "a")
    late = dispatch(poolq, "jobs:Late", '{"n": 1}', "--queue=a", "--delay=1h")
    first, second = (dispatch(poolq, "jobs:Mail", "--queue=a") for _ in range(2))
    other = dispatch(poolq, "jobs:Other", "--queue=b")
    running = dispatch(poolq, "jobs:Mail", "--queue=c")
    worker.claim(1, ("c",))

    def ls(*args: str) -> list[str]:
        document = poolq("job", "ls", "--json", *args).json
        assert document["more"] is False
        return [one["id"] for one in document["jobs"]]

    assert set(ls()) == {failed, late, first, second, other, running}
    assert ls("--queue=a", "--state=ready") == [first, second]
    assert ls("--job=jobs:Late") == [late]
    assert ls("--state=running") == [running]
    assert ls("--error=BOOM") == [failed]
    assert ls("--since=1h", "--state=failed") == [failed]
    assert ls("--older-than=1h") == ls("--since=+2h") == ls("--limit-key=api") == []
    assert ls("--since=+10m") == [late]
    assert poolq("job", "ls", "--limit=2", "--json").json["more"] is True
    done = poolq("job", "ls", "--queue=a", "--limit=2")
    assert "there are more than 2; use --limit" in done.line
    lines = poolq("job", "ls", "--queue=a", "--state=delayed").out.splitlines()
    assert lines[0].split() == ["ID", "QUEUE", "STATE", "JOB", "WHEN", "PAYLOAD"]
    assert lines[1].split()[:4] == [late, "a", "delayed", "jobs:Late"]
    assert lines[1].endswith('  {"n":1}')
    assert ls("--job=Late") == [late], "as in poolq log"
    for args, code, said in (
        ("--queue=aa", 1, "no job matches: there is no queue 'aa'; did you mean a?"),
        ("--job=jobs:Mial", 1, "no job matches job 'jobs:Mial'; did you mean jobs:Mail?"),
        ("--queue=zebra", 0, "no job matches: there is no queue 'zebra'; 'poolq queue ls' lists"),
        ("--since=+3h", 0, "no job matches"),
    ):
        done = poolq("job", "ls", args)
        assert (done.code, done.line.startswith(said)) == (code, True), done.line
    done = poolq("failed", "retry", "--job=zebra", "--json")
    assert (done.code, done.json["count"]) == (0, 0)
    done = poolq("failed", "retry", "--queue=aa", "--json")
    assert (done.code, done.json["count"], "did you mean a?" in done.line) == (1, 0, True)
    assert poolq("failed").out == poolq("failed", "ls").out


def test_tables_fit_a_terminal(poolq: Command, engine: Engine, worker: Worker) -> None:
    queue = "reports-of-the-whole-company"
    (failed,) = fail(poolq, engine, worker, 1, queue)
    rule = Rule("limit-of-the-partner-whose-api-is-slow", 1, 3_600_000_000)
    dispatch(
        poolq, "jobs:ReportOfAllCustomers", '{"year": 2026, "customer": "c"}', "--queue", queue
    )
    (claim,) = worker.claim(1, (queue,))
    assert engine.admit([rule], (worker.name, claim)).wait == 0
    worker.end(claim, Park((rule,), 0))
    commands = ("queue ls", "job ls", "failed ls", "limit ls")
    script = "; ".join(f"{sys.executable} -m poolq {words}" for words in commands)
    with closing(Tty(80, 40)) as tty:
        tty.start(poolq.folder, "sh", "-c", f"{script}; echo end")
        lines = [line.rstrip() for line in tty.until_shows("end").splitlines()]
    heads = {line.split()[0]: (number, line) for number, line in enumerate(lines) if line.isupper()}
    assert lines[0].endswith("STATE")
    assert [line.split()[1:7] for line in lines[1:3]] == [["0", "0", "1", "0", "1", "0"]] * 2
    assert "…" in lines[1]
    ids = [line.split()[0] for line in lines if line[:32].isalnum() and len(line) > 60]
    assert ids == [claim.id, failed, failed]
    assert all(len(line) <= 80 for line in lines)
    assert heads["KEY"][1].split() == ["KEY", "LIMIT", "USED", "RESETS", "WAITING", "STATE"]
    assert lines[heads["KEY"][0] + 1].endswith("1  holds back")


def test_cancel_and_move_many(poolq: Command, engine: Engine, worker: Worker) -> None:
    mails = [dispatch(poolq, "jobs:Mail", "--queue=a", f"--delay={d}") for d in ("now", "1h")]
    other = dispatch(poolq, "jobs:Other", "--queue=a")
    done = poolq("job", "cancel", "--job=jobs:Mail", "--dry-run")
    assert {line.split()[0] for line in done.out.splitlines()} == {"ID", *mails}
    assert done.line == "2 jobs would be cancelled"
    code, said = on_terminal(poolq, "job", "cancel", "--job=jobs:Mail", answer="n")
    assert (code, "Cancel 2 waiting jobs of jobs:Mail permanently? [y/N]" in said) == (1, True)
    assert "poolq: nothing was changed" in said
    done = poolq("job", "move", "--queue=a", "--to=b")
    assert (done.code, done.line.split(".")[0]) == (2, "There is no queue 'b' yet")
    moved = poolq("job", "move", "--queue=a", "--to=b", "--yes", "--json").json
    assert (moved["count"], moved["dry_run"], moved["refused"]) == (3, False, {})
    assert set(moved["ids"]) == {*mails, other}
    assert [job.queue for job in map(engine.find, moved["ids"]) if job] == ["b"] * 3
    assert poolq("job", "cancel", "--job=jobs:Mail", "--yes").out == "cancelled 2 jobs\n"
    assert [engine.find(id) is None for id in (*mails, other)] == [True, True, False]
    done = poolq("job", "cancel", "--queue=bb", "--yes")
    assert (done.code, done.out) == (1, "cancelled 0 jobs\n")
    assert done.line == "no job matches: there is no queue 'bb'; did you mean b?"
    (failed,) = fail(poolq, engine, worker, 1, "a")
    assert poolq("job", "move", "--all", "--to=a").out == "moved 1 job\n"
    assert poolq("job", "move", failed, "--to=b").out == f"moved {failed}\n"
    assert poolq("failed", "ls", "--queue=b", "--json").json["failed"][0]["id"] == failed


def test_the_beginning_of_an_id_is_enough(poolq: Command, engine: Engine) -> None:
    ids = [f"{name}{'0' * 28}" for name in ("abc1", "abc2", "abd1")]
    engine.push([Push(id, "a", b"{}") for id in ids])
    assert poolq("job", "show", "abd1", "--json").json["id"] == ids[2]
    done = poolq("job", "show", "abc")
    assert done.code == 2
    assert done.line.startswith("'abc' is too short for an id; give at least 4 characters (")
    engine.push([Push(f"abc1{'1' * 28}", "a", b"{}")])
    done = poolq("job", "cancel", "abd1", "abc1")
    assert (done.code, done.line) == (
        1, f"the ids of 2 jobs begin with 'abc1'; give more characters: {ids[0]}, abc1{'1' * 28}"
    )  # fmt: skip
    assert engine.find(ids[2]) is not None, "nothing is changed if an id is ambiguous"
    assert poolq("job", "cancel", "abd1", "abc10", "abd1").out == (
        f"cancelled {ids[2]}\ncancelled {ids[0]}\n"
    )
    assert poolq("job", "show", "beef").line == f"job beef {NOT_STORED}"


def test_limits(poolq: Command, engine: Engine, worker: Worker) -> None:
    assert "no rate limit is in use" in poolq("limit", "ls").line
    ids = [dispatch(poolq, "jobs:Mail", "--queue=a") for _ in range(3)]
    rule = Rule("api", 1, 3_600_000_000)
    first, *others = worker.claim(3, ("a",))
    assert engine.admit([rule], (worker.name, first)).wait == 0
    for claim in others:
        worker.end(claim, Park((rule,), 0))
    lines = poolq("limit", "ls").out.splitlines()
    assert lines[0].split() == ["KEY", "LIMIT", "USED", "RESETS", "WAITING", "STATE"]
    assert lines[1].split()[:5] == ["api", "1", "per", "1h", "1"]
    assert lines[1].split()[-3:] == ["2", "holds", "back"]
    (shown,) = poolq("limit", "ls", "--json").json["limits"]
    assert (shown["key"], shown["parked"], shown["state"]) == ("api", 2, "holds back")
    waiting = poolq("job", "ls", "--limit-key=api", "--json").json["jobs"]
    assert [one["id"] for one in waiting] == ids[1:]


def test_setting_and_resetting_a_limit(poolq: Command, engine: Engine, worker: Worker) -> None:
    assert poolq("limit", "set", "api", "3/1h").out == "limit api allows 3 per 1h now\n"
    rule = Rule("api", 1, 3_600_000_000)
    assert [engine.admit([rule]).wait > 0 for _ in range(4)] == [False, False, False, True]
    lines = poolq("limit", "ls").out.splitlines()
    assert lines[1].split()[:7] == ["api", "3", "per", "1h", "(code:", "1)", "3"]
    (shown,) = poolq("limit", "ls", "--json").json["limits"]
    assert (shown["limit"], shown["declared"], shown["used"]) == (3, 1, 3)
    done = poolq("limit", "set", "api", "9/minute")
    assert done.out == "limit api allows 9 per 1m now\n"
    assert "the limits of api in use have another window: 1h" in done.err
    done = poolq("limit", "set", "other key", "5 / 0.5 s", "--json")
    assert done.json == {"key": "other key", "limit": 5, "window": 0.5}
    assert "no limit of other key is in use now; it applies to jobs with this key" in done.err
    push(engine, "held")
    engine.admit([Gate("gate", 2)], (worker.name, worker.claim(1, ("q",))[0]))
    done = poolq("limit", "set", "gate", "5/1s")
    assert (done.code, done.out) == (1, "")
    assert "gate is the key of a Concurrent(2), whose number cannot be set; change it" in done.err
    keys = [one["key"] for one in poolq("limit", "ls", "--json").json["limits"]]
    assert keys.count("gate") == 1
    assert (
        poolq("limit", "set", "gate", "5/1s", "--force").out == "limit gate allows 5 per 1s now\n"
    )
    engine.admit([Rule("any", 1, 3_600_000_000, sliding=True)])
    assert poolq("limit", "set", "any", "3/1h").out == "limit any allows 3 in any 1h now\n"
    done = poolq("limit", "set", "any", "1001/1h")
    assert (done.code, "limit is 1001; a sliding one is at most 1000" in done.err) == (2, True)
    assert poolq("limit", "reset", "api").out == "limit api is what the code says again\n"
    assert engine.admit([rule]).wait > 0
    done = poolq("limit", "reset", "api")
    assert (done.code, "nobody has set or holds limit api; --starts forgets" in done.err) == (
        1,
        True,
    )
    done = poolq("limit", "reset", "api", "--starts", "--json")
    assert done.json == {"key": "api", "windows": [], "starts": True, "held": False}
    assert poolq("limit", "reset", "gate", "--starts").out == (
        "limit gate is what the code says again\n"
    )
    done = poolq("limit", "reset", "gate", "--starts")
    assert (done.code, done.out) == (1, ""), "there was nothing to forget"
    assert "nobody has set or holds limit gate; it has counted no starts" in done.err
    assert engine.admit([rule]).wait == 0
    done = poolq("limit", "reset", "nothing")
    assert (done.code, "no limit 'nothing' is in use, held or set" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        ("hold stripe soon", "the length of the hold is 'soon'; write a number of seconds"),
        ("hold stripe 0s", "the length of the hold is '0s'; reset the key to end a hold"),
        ("hold '' 5s", "key is ''; it must be text of 1 to 255 bytes"),
        ("reset 'a\nb'", "key is 'a\\nb'; it must be text without control characters"),
        ("set api 50", "RATE is '50'; write a number and a time, such as 50/1s"),
        ("set api a/1s", "RATE is 'a/1s'; write a number and a time, such as 50/1s"),
        ("set api 0/1s", "limit is 0; it must be a whole number from 1 to 2147483647"),
        ("set api 5/0s", "seconds is 0.0; it must be a number above 0"),
        ("set api 5/never", "the time of RATE is '1never'"),
        ("set api 5/-1s", "the time of RATE is '-1s'; a duration cannot be negative"),
    ],
)
def test_a_limit_that_makes_no_sense(poolq: Command, args: str, wrong: str) -> None:
    done = poolq("limit", *shlex.split(args))
    assert (done.code, done.out, wrong in done.line) == (2, "", True), done.err


def test_job_show_says_why_a_job_waits(poolq: Command, engine: Engine, worker: Worker) -> None:
    ready, late = dispatch(poolq, "x", "--queue=a"), dispatch(poolq, "x", "--queue=a", "--delay=1h")

    def why(id: str) -> str:
        said = poolq("job", "show", id, "--json").json["why"]
        shown = poolq("job", "show", id).out
        assert f"why:          {said.partition(' (in')[0]}" in shown  # without the countdown
        return str(said)

    poolq("queue", "pause", "a")
    assert why(ready) == "queue a is paused until 'poolq queue resume a'"
    assert why(late).startswith("it is delayed until ")
    assert why(late).endswith("; besides, queue a is paused until 'poolq queue resume a'")
    poolq("queue", "resume", "a")
    worker.claim(1, ("a",))
    assert poolq("job", "show", ready, "--json").json["why"] is None


def test_job_show_counts_attempts_from_one(poolq: Command, worker: Worker) -> None:
    id = dispatch(poolq, "x", "--queue=a", "--attempts=3")
    assert re.search(r"(?m)^next attempt: +1 of 3$", poolq("job", "show", id).out)
    (claim,) = worker.claim(1, ("a",))
    assert re.search(r"(?m)^attempt: +1 of 3$", poolq("job", "show", id).out)
    assert poolq("job", "show", id, "--json").json["attempt"] == 0
    worker.end(claim)


def test_queue_ls(poolq: Command, engine: Engine, worker: Worker) -> None:
    done = poolq("queue", "ls")
    assert (done.code, done.out) == (0, "")
    assert "no queue" in done.line
    assert poolq("queue", "ls", "--json").json["queues"] == []
    for _ in range(2):
        dispatch(poolq, "x", "--queue=a")
    dispatch(poolq, "x", "--queue=b", "--delay=1h")
    worker.claim(1, ("a",))
    poolq("queue", "pause", "b")
    lines = poolq("queue", "ls").out.splitlines()
    assert lines[0].split() == [
        "QUEUE", "READY", "DELAYED", "PARKED", "RUNNING", "FAILED", "DONE", "OLDEST", "STATE",
    ]  # fmt: skip
    assert lines[1].split()[:7] == ["a", "1", "0", "0", "1", "0", "0"]
    assert lines[2].split() == ["b", "0", "1", "0", "0", "0", "0", "-", "paused"]
    assert lines[3].split()[:7] == ["total", "1", "1", "0", "1", "0", "0"]
    document = poolq("queue", "ls", "--json").json
    assert [queue["paused"] for queue in document["queues"]] == [False, True]
    assert document["total"]["running"] == 1


def test_forgotten_queues_are_one_line(poolq: Command, engine: Engine, worker: Worker) -> None:
    for queue in ("a", "b"):
        dispatch(poolq, "x", f"--queue={queue}")
        (claim,) = worker.claim(1, (queue,))
        worker.end(claim)
    until(lambda: not engine.sweep(0) and engine.counts() == [], 10, "both to be forgotten")
    lines = poolq("queue", "ls").out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["(forgotten)", "0", "0", "0", "0", "0", "2", "-"],
        ["total", "0", "0", "0", "0", "0", "2", "-"],
    ]
    document = poolq("queue", "ls", "--json").json
    assert (document["queues"], document["forgotten"]["done"]) == ([], 2)


def test_pause_resume(poolq: Command, worker: Worker) -> None:
    dispatch(poolq, "x", "--queue=a")
    done = poolq("queue", "pause", "a", "later")
    assert (done.code, done.out) == (0, "paused a\npaused later\n")
    assert "no queue 'later' yet" in done.line
    assert worker.claim(1, ("a",)) == []
    done = poolq("queue", "resume", "a", "nowhere")
    assert (done.code, done.out) == (1, "resumed a\n")
    assert "there is no queue 'nowhere'" in done.line
    assert len(worker.claim(1, ("a",))) == 1
    assert poolq("queue", "resume", "a").out == "a was not paused\n"


def test_purge_asks(poolq: Command, engine: Engine) -> None:
    ids = [dispatch(poolq, "x", "--queue=a", f"--delay={delay}") for delay in ("now", "1h")]
    done = poolq("queue", "purge", "a")
    assert (done.code, done.out) == (2, "")
    assert "give --yes" in done.line
    code, said = on_terminal(poolq, "queue", "purge", "a", answer="n")
    assert code == 1
    assert "Delete 1 ready, 1 delayed and 0 parked jobs of queue 'a'? [y/N]" in said
    assert all(engine.find(id) for id in ids)
    code, said = on_terminal(poolq, "queue", "purge", "a", answer="y")
    assert (code, "purged 2 jobs of a" in said) == (0, True)
    assert not any(engine.find(id) for id in ids)
    done = poolq("queue", "purge", "aa", "--yes")
    assert (done.code, "did you mean a?" in done.line) == (1, True)


def on_terminal(poolq: Command, *args: str, answer: str) -> tuple[int, str]:
    """Run it on a terminal of its own and type the answer."""
    with closing(Tty()) as tty:
        tty.poolq(poolq.folder, *args)
        tty.type(answer, "enter")
        return tty.until_ends(), tty.look()


def test_failed_ls_and_show(poolq: Command, engine: Engine, worker: Worker) -> None:
    assert "no job has failed" in poolq("failed", "ls").line
    first, second = fail(poolq, engine, worker, 2, "a")
    lines = poolq("failed", "ls").out.splitlines()
    assert {line.split()[0] for line in lines[1:]} == {first, second}
    assert lines[1].split()[1:3] == ["a", "jobs:Mail"]
    assert lines[1].endswith(r"boom \x1b[2J")
    assert poolq("failed", "ls", "--queue=b", "--json").json == {"failed": [], "more": False}
    assert poolq("failed", "ls", "--older-than=1h", "--json").json["failed"] == []
    done = poolq("failed", "ls", "--limit=1", "--json")
    assert (len(done.json["failed"]), done.json["more"]) == (1, True)
    shown = poolq("failed", "show", first, "--json").json
    assert shown["status"] == "failed"
    assert shown["history"] == [
        {
            "at": "2023-11-14T22:13:20.000000Z", "cause": "error", "error": "boom \x1b[2J",
            "attempt": 1, "worker": "w1", "traceback": "Trace\n  here\nboom",
        }
    ]  # fmt: skip
    text = poolq("failed", "show", first).out
    assert "\x1b" not in text
    assert "attempts:  1 of 1 used" in text
    assert "             here" in text
    assert text == poolq("job", "show", first).out


def test_failed_retry_and_forget_by_id(poolq: Command, engine: Engine, worker: Worker) -> None:
    first, second = fail(poolq, engine, worker, 2, "a")
    done = poolq("failed", "retry", first, NOBODY)
    assert (done.code, done.out) == (1, f"retried {first}\n")
    assert done.line == f"job {NOBODY} {NOT_STORED}"
    done = poolq("failed", "forget", first)
    assert done.line == f"job {first} is ready; only failed jobs can be forgotten"
    found = engine.find(first)
    assert found is not None
    assert (found.status, found.state) == ("ready", State())
    assert poolq("failed", "forget", second).out == f"forgot {second}\n"
    assert engine.find(second) is None


def test_a_unique_job_that_is_there_already(poolq: Command, engine: Engine, worker: Worker) -> None:
    """`failed retry` leaves a job failed whose key another one has, and says so."""
    unique = 'jobs:Sync {"user":7}'
    (poolq.folder / "jobs.py").write_text(
        "from poolq import Job, Unique\nclass Sync(Job):\n    unique = Unique('user')\n"
        "    def run(self): ...\n"
    )
    first = dispatch(poolq, "jobs:Sync", '{"user": 7}')
    done = poolq("job", "dispatch", "jobs:Sync", '{"user": 7}')
    assert (done.code, done.out) == (0, f"{first}\n")
    assert done.line == "nothing was dispatched: this job has the same unique key"
    done = poolq("job", "dispatch", "jobs:Sync", '{"user": 7}', "--json")
    assert done.json == {"id": first, "new": False}
    worker.end(worker.claim()[0], Bury(State(1, 0, 0, ERROR)))
    second = dispatch(poolq, "jobs:Sync", '{"user": 7}')
    shown = poolq("failed", "show", first, "--json").json
    assert shown["unique"] == {"key": unique, "until": "end", "holder": second}
    assert (
        f"unique:    {unique}, until its end; job {second} has it"
        in poolq("job", "show", first).out
    )
    why = f"stays failed, because job {second} has its unique key {unique}"
    done = poolq("failed", "retry", first)
    assert (done.code, done.out, done.line) == (1, "", f"job {first} {why}")
    done = poolq("failed", "retry", "--all")
    assert (done.code, done.out, done.line) == (1, "retried 0 jobs\n", f"1 job not retried: {why}")
    assert poolq("job", "cancel", second).code == 0
    assert poolq("failed", "retry", first).out == f"retried {first}\n"
    assert poolq("job", "show", first, "--json").json["unique"]["holder"] == first


def test_retry_with_other_options(poolq: Command, engine: Engine, worker: Worker) -> None:
    """Options travel with a job, so a job that failed with one attempt would fail again."""
    first, second = fail(poolq, engine, worker, 2, "a")
    gone = dispatch(poolq, "jobs:Gone", "--queue=a")
    worker.end(worker.claim(1, ("a",))[0], Bury(State(1, 0, 0, ERROR)))

    def attempts(id: str) -> tuple[int, int, str]:
        shown = poolq("job", "show", id, "--json").json
        assert shown["payload"] == ({} if id == gone else {"to": "bob"})
        return shown["attempt"], shown["attempts"], shown["status"]

    (poolq.folder / "jobs.py").write_text(JOBS)
    assert attempts(first) == (1, 1, "failed")
    assert poolq("failed", "retry", first, "--attempts=7").code == 0
    assert attempts(first) == (0, 7, "ready")
    done = poolq("failed", "retry", "--all", "--fresh-options", "--dry-run")
    assert [line.split()[0] for line in done.out.splitlines()] == ["ID", second]
    done = poolq("failed", "retry", "--all", "--fresh-options")
    assert (done.code, done.out) == (1, "retried 1 job\n")
    assert done.line == "1 job not retried: there is no job 'jobs:Gone' in jobs"
    assert attempts(second) == (0, 3, "ready")
    assert attempts(gone) == (1, 1, "failed")
    done = poolq("failed", "retry", gone, "--fresh-options", "--json")
    assert done.json["refused"] == {gone: "there is no job 'jobs:Gone' in jobs"}
    (poolq.folder / "jobs.py").write_text("def f(:\n")
    done = poolq("failed", "retry", gone, "--fresh-options")
    assert (done.code, "jobs.py:1: SyntaxError" in done.line) == (3, True)


def test_failed_many_at_once(poolq: Command, engine: Engine, worker: Worker) -> None:
    fail(poolq, engine, worker, 2, "a")
    fail(poolq, engine, worker, 1, "b")
    assert poolq("failed", "forget", "--older-than=1h").out == "forgot 0 jobs\n"
    assert poolq("failed", "retry", "--queue=a").out == "retried 2 jobs\n"
    assert poolq("failed", "forget", "--queue=b").code == 2
    assert len(engine.failed()) == 1
    assert poolq("failed", "forget", "--all", "--yes").out == "forgot 1 job\n"
    assert engine.failed() == []


def test_a_message_that_cannot_be_read_is_shown_all_the_same(
    poolq: Command, engine: Engine
) -> None:
    engine.push([Push("g", "a", b'{"v": 9, "job": "x\xff')])
    shown = poolq("job", "show", "g", "--json").json
    assert (shown["job"], shown["attempts"]) == ("?", None)
    assert poolq("job", "show", "g").code == 0


READING = (
    "queue ls", "queue ls --json", "queue resume a", "queue purge a --yes", "failed ls",
    "failed ls --json", f"failed show {NOBODY}", f"failed retry {NOBODY}", "failed retry --all",
    "failed forget --all --yes", f"job show {NOBODY}", f"job cancel {NOBODY}", "nodes",
    "nodes --json", "job ls", "job ls --json", "job ls --queue=a", "job cancel --all --yes",
    "job show abcd", "limit ls", "limit ls --json", "job move --all --to=a --yes",
)  # fmt: skip


def test_a_command_that_creates_no_job_creates_no_database(poolq: Command) -> None:
    said = f"there is no database {poolq.folder}/poolq.db yet; the first job or pool creates it"
    before = sorted(poolq.folder.iterdir())
    for args in READING:
        done = poolq(*args.split())
        assert (done.code, done.out, done.line) == (69, "", said), args
    done = poolq("doctor", "--json")
    assert done.code == 0
    assert done.json["checks"][1:] == [{"name": "database", "level": "warn", "text": said}]
    assert poolq("db", "status").code == 78
    assert poolq("db", "sql").code == 0
    assert poolq("config", "show").code == 0
    assert poolq("status").code == 69
    assert sorted(poolq.folder.iterdir()) == before


def test_a_queue_may_be_paused_before_there_is_a_database(poolq: Command) -> None:
    assert poolq("queue", "pause", "a").out == "paused a\n"
    assert poolq("queue", "ls", "--json").json["queues"][0]["paused"]


PRODUCER = """
import poolq
poolq.dispatch("jobs:Mail", {"to": "bob"})
"""


@pytest.mark.parametrize("how", ["script", "module", "link"])
def test_a_script_stores_jobs_in_its_project_wherever_it_is_started(
    tmp_path: Path, how: str
) -> None:
    shop, elsewhere = tmp_path / "shop", tmp_path / "elsewhere"
    for folder in (shop / "app", elsewhere):
        folder.mkdir(parents=True)
    (shop / "poolq.toml").touch()
    (elsewhere / "pyproject.toml").touch()
    (shop / "app" / "nightly.py").write_text(PRODUCER)
    (elsewhere / "link.py").symlink_to(shop / "app" / "nightly.py")
    words = {
        "script": ["../shop/app/nightly.py"], "link": ["link.py"], "module": ["-m", "nightly"],
    }[how]  # fmt: skip
    subprocess.run(
        [sys.executable, *words], cwd=elsewhere, check=True, capture_output=True,
        env=environment(PYTHONPATH=f"{ROOT}:{shop / 'app'}"),
    )  # fmt: skip
    assert Command(shop)("queue", "ls", "--json").json["total"]["ready"] == 1
    assert not (elsewhere / "poolq.db").exists()


def test_completion(poolq: Command) -> None:
    def complete(*words: str) -> set[str]:
        done = poolq(
            _POOLQ_COMPLETE="bash_complete", COMP_WORDS=" ".join(("poolq", *words)),
            COMP_CWORD=str(len(words)),
        )  # fmt: skip
        return {line.partition(",")[2] for line in done.out.splitlines()}

    assert complete("lim") == {"limit"}
    assert complete("job", "m") == {"move"}
    assert complete("job", "ls", "--st") == {"--state"}
    assert complete("job", "ls", "--state", "de") == {"delayed"}
    assert complete("failed", "retry", "--fr") == {"--fresh-options"}


def test_doctor_and_db(poolq: Command) -> None:
    assert poolq("db", "migrate").code == 0
    done = poolq("doctor")
    assert done.code == 0, done.out
    assert done.out.splitlines()[1].split()[:2] == ["engine", "ok"]
    levels = {check["level"] for check in poolq("doctor", "--json").json["checks"]}
    assert levels <= {"ok", "warn"}
    assert poolq("db", "migrate").code == 0
    status = poolq("db", "status", "--json").json
    assert status["current"]
    assert "CREATE TABLE" in poolq("db", "sql").out.upper()


def test_tables_of_another_version(poolq: Command) -> None:
    dispatch(poolq, "x")
    for version, advice, commands in (
        (99, "newer", ("queue ls", "db migrate", "db status", "failed ls", "doctor")),
        (2, "drain it with that code", ("queue ls",)),
    ):
        with closing(sqlite3.connect(poolq.folder / "poolq.db")) as database, database:
            database.execute("UPDATE poolq_schema SET version = ?", (version,))
        for args in commands:
            done = poolq(*args.split())
            assert done.code == 78, args
            assert f"version {version}, and this poolq needs" in done.out + done.err
            assert advice in done.out + done.err


def test_engines_without_tables_have_nothing_to_migrate(poolq: Command) -> None:
    for args in ("migrate", "status", "sql"):
        done = poolq("db", args, "--engine=redis")  # nobody needs to be there
        assert (done.code, done.out) == (0, "")
        assert "has no tables" in done.line


def test_an_interrupt_deletes_nothing(poolq: Command, engine: Engine) -> None:
    id = dispatch(poolq, "x", "--queue=a")
    with closing(Tty()) as tty:
        pid = tty.new_poolq(poolq.folder, "queue", "purge", "a")
        tty.until_shows("[y/N]:")
        # One that comes just before Python's input() begins to read is lost in it.
        until(lambda: state_of(pid) == "S")
        tty.kill(signal.SIGINT)
        assert tty.until_ends() == 130
    assert engine.find(id) is not None


def test_a_reader_that_leaves_is_no_error(poolq: Command) -> None:
    done = NewCommand(poolq.folder, has_a_reader_that_left)("config", "show")
    assert (done.code, done.out, done.err.partition("\n")[2]) == (1, "", "")


def has_a_reader_that_left() -> None:
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, 1)
