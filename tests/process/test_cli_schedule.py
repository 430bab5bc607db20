"""`poolq schedule`, on SQLite."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine
from poolq.engines.schedule_store import NewSchedule
from poolq.jobs import schedule_plan
from poolq.jobs.message import decode
from tests.support.cli import Command, Done

JOBS = """
import poolq

class Report(poolq.Job):
    queue = "reports"
    attempts = 3

    def run(self):
        pass

class Once(poolq.Job):
    unique = poolq.Unique()

    def run(self):
        pass

@poolq.job
def greet(to: str) -> None:
    pass

class Later(poolq.Job):
    delay = "1h"

    def run(self):
        pass
"""


@pytest.fixture
def poolq(poolq: Command) -> Command:
    (poolq.folder / "jobs.py").write_text(JOBS)
    return poolq


def ok(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


def test_a_schedule_is_added_listed_and_removed(poolq: Command, engine: Engine) -> None:
    add = ("schedule", "add", "nightly", "0 3 * * *", "jobs:Report", '{"a": 1}')
    options = ("--tz=Europe/Berlin", "--overlap=skip", "--catch-up=2h", "--jitter=2m")
    assert ok(poolq(*add, *options)).out.startswith("added nightly; next run: 20")
    assert ok(poolq(*add, *options)).out == "schedule nightly is there already\n"
    (one,) = ok(poolq("schedule", "ls", "--json")).json["schedules"]
    assert len(one.pop("next")) == 5
    assert one == {
        "name": "nightly", "when": "0 3 * * *", "tz": "Europe/Berlin", "job": "jobs:Report",
        "queue": "reports", "state": "active", "declared": False, "last": None, "last_job": None,
        "jobs": 0, "skipped": 0, "payload": {"a": 1}, "overlap": "skip", "catch_up": 7200.0,
        "jitter": 120.0,
    }  # fmt: skip
    spec = schedule_plan.decode(engine.schedules.all()[0].spec)
    assert decode(bytes(spec.message)).attempts == 3, "the option of the class"
    titles, line = ok(poolq("schedule", "ls")).out.splitlines()
    heads = titles.split("  ")
    assert [one.strip() for one in heads if one.strip()] == [
        "NAME", "WHEN", "ZONE", "JOB", "NEXT RUN", "LAST RUN", "JOBS", "SKIPPED", "STATE",
    ]  # fmt: skip
    assert line.split()[:8] == ["nightly", "0", "3", "*", "*", "*", "Europe/Berlin", "jobs:Report"]
    assert line.endswith(" 0  active")
    shown = ok(poolq("schedule", "ls", "nightly")).out
    assert "when:     0 3 * * * Europe/Berlin\n" in shown
    assert "job:      jobs:Report in queue reports\n" in shown
    assert "overlap:  skip\ncatch up: 2h\njitter:   2m\n" in shown
    assert len([line for line in shown.splitlines() if line.startswith("          20")]) == 4
    replaced = ok(poolq("schedule", "add", "nightly", "1h", "jobs:Report", "--queue=q", "--json"))
    assert (replaced.json["name"], replaced.json["result"]) == ("nightly", "replaced")
    (one,) = ok(poolq("schedule", "ls", "--json")).json["schedules"]
    assert (one["when"], one["tz"], one["queue"]) == ("every 1h", None, "q")
    assert ok(poolq("schedule", "rm", "nightly")).out == "removed nightly\n"
    done = poolq("schedule", "ls")
    assert (done.code, done.out) == (0, "")
    assert "there is no schedule in namespace" in done.err
    assert "a pool stores those of your code (poolq.every()) when it has loaded it" in done.err


def test_the_jobs_of_an_added_schedule_have_no_delay(poolq: Command, engine: Engine) -> None:
    ok(poolq("schedule", "add", "later", "1h", "jobs:Later", "--queue=q"))
    ok(poolq("schedule", "run", "later"))
    assert [one.queue for one in engine.page("ready").jobs] == ["q"]


def test_a_list_of_schedules_that_no_pool_ticks_says_so(poolq: Command, engine: Engine) -> None:
    ok(poolq("schedule", "add", "a", "1h", "jobs:Report"))
    why = "no pool runs, so no schedule has ticks; 'poolq run' starts one"
    assert why in ok(poolq("schedule", "ls")).err
    assert why in ok(poolq("schedule", "ls", "a")).err
    engine.beat("n1", b"{}")
    assert ok(poolq("schedule", "ls")).err == ""


def test_a_unique_job_is_run_by_hand_only_if_its_key_is_free(poolq: Command) -> None:
    ok(poolq("schedule", "add", "once", "10m", "jobs:Once"))
    id_ = ok(poolq("schedule", "run", "once")).out.strip()
    done = poolq("schedule", "run", "once")
    assert (done.code, done.out) == (1, "")
    assert f"schedule once: job {id_} has its unique key, so nothing is stored" in done.err


def test_a_schedule_is_paused_resumed_and_run(poolq: Command, engine: Engine) -> None:
    ok(poolq("schedule", "add", "ping", "10m", "jobs:greet", '{"to": "ann"}'))
    assert ok(poolq("schedule", "pause", "ping")).out == "paused ping\n"
    assert ok(poolq("schedule", "ls")).out.splitlines()[1].endswith(" paused")
    assert ok(poolq("schedule", "ls", "ping", "--json")).json["schedules"][0]["next"] == []
    assert ok(poolq("schedule", "resume", "ping", "--json")).json == {"resumed": ["ping"]}
    assert engine.schedules.all()[0].state == "active"
    assert "was not paused" in ok(poolq("schedule", "resume", "ping")).err
    id_ = ok(poolq("schedule", "run", "ping")).out.strip()
    job = engine.find(id_)
    assert job is not None
    message = decode(job.body)
    assert (message.payload, message.id) == ({"to": "ann"}, id_)
    assert abs(message.scheduled_at - engine.now()) < 60_000_000
    assert list(ok(poolq("schedule", "run", "ping", "--json")).json) == ["id"]
    assert engine.schedules.all()[0].ticks == 0


def coded(name: str, engine: Engine) -> NewSchedule:
    """A schedule as code declares it."""
    message = b'{"v":1,"id":"%s","job":"a:B","queue":"q"}' % (b"0" * 32)
    spec = schedule_plan.encode(schedule_plan.make("1h", message, {}, "x"))
    return NewSchedule(name, schedule_plan.hash_of(spec), spec, engine.now() + 10**10)


def test_what_code_declares_is_changed_there(poolq: Command, engine: Engine) -> None:
    engine.beat("n1", b"{}")
    engine.schedules.declare("n1", 1, [coded("coded", engine)])
    refused = poolq("schedule", "add", "coded", "1h", "jobs:Report")
    assert (refused.code, refused.out) == (1, "")
    assert "schedule coded is declared in the code of a running pool; change it" in refused.line
    refused = poolq("schedule", "rm", "coded")
    assert refused.code == 1
    assert "or stop it: poolq schedule pause coded" in refused.line
    ok(poolq("schedule", "pause", "coded"))
    ok(poolq("schedule", "add", "mine", "1h", "jobs:Report"))
    refused = poolq("schedule", "rm", "mine", "coded", "--json")
    assert (refused.code, refused.json) == (1, {"removed": ["mine"]}), "what was done before"
    engine.schedules.declare("n1", 1, [])
    replaced = ok(poolq("schedule", "add", "coded", "1h", "jobs:Report"))
    assert replaced.out.startswith("replaced coded")
    engine.remove_node("n1")
    ok(poolq("schedule", "rm", "coded"))


@pytest.mark.parametrize("command", ["rm", "pause", "resume"])
def test_nothing_is_done_if_one_of_the_schedules_is_missing(
    poolq: Command, engine: Engine, command: str
) -> None:
    for name in ("a", "b"):
        ok(poolq("schedule", "add", name, "1h", "jobs:Report"))
    engine.schedules.pause("b")
    before = engine.schedules.all()
    done = poolq("schedule", command, "a", "none", "b", "nope")
    assert (done.code, done.out) == (1, "")
    assert "there is no schedule 'none' or 'nope'" in done.line
    assert engine.schedules.all() == before


def test_only_what_was_paused_or_resumed_is_named(poolq: Command, engine: Engine) -> None:
    for name in ("a", "b"):
        ok(poolq("schedule", "add", name, "1h", "jobs:Report"))
    engine.schedules.pause("a")
    done = ok(poolq("schedule", "pause", "a", "b"))
    assert (done.out, "schedule a was paused already" in done.err) == ("paused b\n", True)
    engine.schedules.resume("a", 1)
    done = ok(poolq("schedule", "resume", "a", "b", "--json"))
    assert (done.json, "schedule a was not paused" in done.err) == ({"resumed": ["b"]}, True)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (
            ("add", "a", "61 * * * *", "jobs:Report"),
            2,
            "schedule a: in '61 * * * *', the minute is",
        ),
        (("add", "a", "soon", "jobs:Report"), 2, "schedule a: the time is 'soon'; write an interv"),
        (("add", "a", "1h", "jobs:Report", "--tz=Mars"), 2, "tz is 'Mars', which is no zone here"),
        (("add", "a", "1h", "jobs:Report", "--overlap=no"), 2, "overlap is 'no'; write 'allow'"),
        (("add", "a", "1h", "jobs:Report", "--catch-up=no"), 2, "catch_up is 'no'"),
        (("add", "a", "1h", "jobs:Report", "[1]"), 2, "payload"),
        (("add", "a", "1h", "jobs:Report", "{"), 2, "the payload is not JSON"),
        (("add", "a", "1h", "jobs:greet"), 2, "missing a required argument: 'to'"),
        (("add", "a b", "1h", "jobs:Report"), 2, "the schedule's name is 'a b'"),
        (("add", "a", "1h", "jobs:Reprt"), 1, "there is no job 'jobs:Reprt' in jobs; did you mean"),
        (("ls", "nightl"), 1, "there is no schedule 'nightl'; did you mean nightly?"),
        (("rm", "none"), 1, "there is no schedule 'none'; 'poolq schedule ls' lists them"),
        (("pause", "none"), 1, "there is no schedule 'none'"),
        (("resume", "none"), 1, "there is no schedule 'none'"),
        (("run", "none"), 1, "there is no schedule 'none'"),
        (("pause",), 2, "Missing argument 'NAME...'"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    poolq: Command, args: tuple[str, ...], code: int, said: str
) -> None:
    ok(poolq("schedule", "add", "nightly", "0 3 * * *", "elsewhere:Job", "--by-name"))
    done = poolq("schedule", *args)
    assert said in done.line
    assert (done.code, done.out) == (code, "")


def test_an_engine_that_stores_nothing_has_no_schedules(poolq: Command) -> None:
    done = poolq("schedule", "add", "a", "1h", "jobs:Report", "--engine=sync")
    assert done.code == 78
    assert "stores no jobs" in done.line


def test_doctor_names_schedules_that_nobody_ticks(poolq: Command, engine: Engine) -> None:
    def found() -> list[tuple[str, str]]:
        checks = ok(poolq("doctor", "--json")).json["checks"]
        return [(one["level"], one["text"]) for one in checks if one["name"] == "schedules"]

    assert found() == []
    ok(poolq("schedule", "add", "a", "1h", "jobs:Report"))
    idle = "1 active; no pool runs, so none has ticks: start 'poolq run'"
    assert found() == [("warn", idle)]
    engine.beat("n1", b"{}")
    assert found() == [("ok", "1 active")]
    engine.schedules.pause("a")
    engine.schedules.resume("a", engine.now() - 60_000_000)
    assert found() == [("warn", "1 late (a)")]
    ok(poolq("schedule", "rm", "a"))
    engine.schedules.declare("n1", 1, [coded("b", engine)])
    engine.schedules.declare("n1", 1, [])
    assert found() == [("ok", "1 undeclared")], "as somebody has wanted"
