"""A pool in trouble on small, usual and large terminals: what each of them must show."""

from __future__ import annotations

import re
from contextlib import ExitStack

from tests.process.conftest import MakeProject
from tests.process.engines import sqlite
from tests.support.screens import Screens
from tests.support.tty import Tty
from tests.support.wait import until

JOBS = """
from poolq import Job, Limit, current
from tests.support.ledger import gate

class Import(Job):
    def run(self):
        current().progress(43, 100, "customers-2024-07-31.csv")
        gate("open")

class SendMail(Job):
    on_limit = "park"

    def rate_limit(self):
        return Limit(2, hours=1)

    def run(self):
        pass

class Charge(Job):
    def run(self):
        raise ValueError("card 4242 was declined")
"""
#: What is wrong, the worst first.
TROUBLE = (
    "queue lost unserved: 3 jobs wait",
    "SendMail holds back: 5 wait until ",
    "queue later paused: 4 ready jobs",
)
SPARK = "[▁▂▃▄▅▆▇█]+"
SIZES = ((60, 15), (100, 30), (200, 50))


@sqlite
def test_each_size_shows_what_matters(make_project: MakeProject, engine_url: str) -> None:
    with ExitStack() as stack:
        project = make_project(engine_url, JOBS)
        tty = Screens(stack, project).shown(2, "--queue=default,later", size=(60, 15))
        project.engine.pause("later")
        project.dispatch("Import")
        project.dispatch_many("SendMail", 7, on_limit="park")
        project.dispatch_many("Charge", 3)
        project.dispatch_many("Charge", 3, queue="lost")
        project.dispatch_many("Charge", 4, queue="later")
        until(lambda: len(project.failed()) == 3 and "5 wait" in tty.look(), 20, "trouble")
        shown = {}
        for columns, lines in SIZES:
            tty.resize(columns, lines)
            shown[lines] = until(lambda: settled(tty, lines), 20, f"{columns}x{lines}")  # noqa: B023  # until() ends first
        for text in shown.values():
            places = [text.find(trouble) for trouble in TROUBLE]
            assert -1 not in places, text
            assert places == sorted(places), text
            assert re.search(r"WORKERS 2 .*JOB .*FOR ", text), text
            assert re.search(r"[12] busy .*jobs:Import ", text), text
            assert "43%" in text, text
            assert not re.search(r"\d…", text.replace("4242 was declined", "")), text
            assert re.search(r"! lost +UNSERVED +3 ", text), text
            assert re.search(rf" {SPARK} max +[\d.]+ ", text), text
        assert re.search(r"ready +7 +in +[\d.-]+/s +out +[\d.-]+/s ", shown[15])
        for lines in (30, 50):
            assert "43% customers-2024-07-31.csv" in shown[lines]
            assert "ValueError: card 4242 was declined" in shown[lines]
            assert re.search(r"! jobs:SendMail +HOLDS BACK +\d/2 per 1h +5 ", shown[lines])
        assert re.search(r"ping +[\d.]+m?s +SQLite 3[\d.]+ \d+[KM]", shown[50])
        rows = shown[50].splitlines()
        right = [row[100:].strip() for row in rows[7:-1]]
        for title in ("BACKLOG", "FAILURES 3", "NODES 1"):
            assert sum(row.startswith(title) for row in right) == 1, shown[50]
        for title in ("WORKERS 2", "QUEUES 3", "LIMITS 1", "EVENTS"):
            assert sum(row[2:].startswith(f"{title} ") for row in rows) == 1, shown[50]
        assert re.search(r"KINDS 2 .*\n  jobs:", shown[50])
        assert re.search(r" jobs:Charge +[\d.-]+ +0 +3 ", shown[50])
        (events,) = (number for number, row in enumerate(rows) if row[2:].startswith("EVENTS "))
        assert not any(title in rows[events] for title in ("WORKERS", "FAILURES", "NODES"))
        assert all(re.match(r" +\d\d:\d\d:\d\d +\w", row) for row in rows[events + 1 : events + 3])
        project.dispatch_many("Charge", 250, queue="later")
        tty.type("/", *"later", "enter", "tab", "enter")
        for columns, lines in reversed(SIZES):
            tty.resize(columns, lines)
            tty.type("g")
            until(
                lambda: re.search(r"QUEUE later .*\n. JOB.* 1-\d+  ?▼", tty.look()), 20, "the list"
            )
            tty.type("G")
            until(lambda: re.search(r" JOBS 254 .* \d+-254 ▲", tty.look()), 20, "the last job")
            tty.type("s", "s")
            until(lambda: re.search(r" JOBS 254 +JOB▲ ", tty.look()), 20, "by the name of the job")
            tty.type(":", *"sort", "enter")
        project.ledger.open()


def settled(tty: Tty, lines: int) -> str:
    """The screen, if all of it is drawn for this size, and everything is known."""
    text = tty.look()
    whole = "? help" in text.splitlines()[lines - 1] and "43%" in text
    known = all(trouble in text for trouble in TROUBLE) and (lines < 50 or "KINDS 2" in text)
    return text if whole and known else ""
