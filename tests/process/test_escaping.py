"""Names that steer a terminal, in a store, a pool and a project: no command passes them on."""

from __future__ import annotations

import json

from poolq.jobs.message import Message, Push, encode
from tests.process.engines import each_kind, sqlite
from tests.support.cli import Command
from tests.support.project import Project
from tests.support.wait import until

EVIL = "q\x1b]0;x\x07\x9b2J\u202e\u2028z"
ID = "id\x1b[2J\n1970 forged"  # MySQL has 32 characters of ASCII there
STEERS = "\x07\x1b\x9b\u202e\u2028"


def shows(command: Command, *words: str) -> str:
    """What it prints, once it is proved harmless."""
    done = command(*words)
    assert not any(one in done.out + done.err for one in STEERS), words
    assert "Traceback" not in done.err
    return done.out


@each_kind
def test_what_stands_in_a_store_is_shown_escaped(project: Project) -> None:
    """As somebody stores it who does not use poolq."""
    project.dispatch("Quick", queue="good")
    engine = project.engine
    engine.push([Push(ID, EVIL, encode(Message(1, ID, "jobs:Fails", EVIL)))])
    command = Command(project.folder, POOLQ_ENGINE=project.url, POOLQ_NAMESPACE=project.namespace)
    assert "\\x1b]0;x" in shows(command, "queue", "ls")
    document = json.loads(shows(command, "queue", "ls", "--json"))
    assert EVIL in {one["queue"] for one in document["queues"]}
    pool = project.ready(1)
    until(lambda: ID in project.failed())
    pool.until_said("failed jobs:Fails")
    assert not any(one in pool.log for one in STEERS)
    assert not [line for line in pool.log.splitlines() if line.startswith("1970")], "forged"
    (failed,) = json.loads(shows(command, "failed", "ls", "--json"))["failed"]
    assert (failed["id"], failed["queue"]) == (ID, EVIL)
    shows(command, "failed", "ls")
    shows(command, "failed", "show", failed["id"])
    assert shows(command, "failed", "retry", failed["id"]).count("\n") == 1
    shows(command, "queue", "pause", EVIL)
    shows(command, "top", "--once")


@sqlite
def test_keys_of_an_env_file_are_shown_escaped(project: Project) -> None:
    (project.folder / ".env").write_text("POOLQ_\x1b]0;x\x07=1\nPOOLQ_PROCZ=\x9b2J\n", "utf-8")
    shows(Command(project.folder), "config", "show")
    shows(Command(project.folder), "queue", "ls")
