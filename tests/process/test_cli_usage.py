"""What the command line refuses, and how: one line on stderr, and the right exit code."""

from __future__ import annotations

import json
import os
import shlex
import socket

import pytest

from tests.support.cli import Command, NewCommand


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("run --procs=0", "--procs is '0'; it must be a whole number from 1 to 1024"),
        ("run --metrics=9200", "--metrics is '9200'; it must be an address and a port"),
        ("run --sleep=-1", "--sleep is '-1'; it must be seconds or a text such as"),
        ("run --queue=,", "--queue is ','; it must be names separated by commas"),
        ("run --queue=", "--queue is ''; it must be names separated by commas"),
        ("run --cooldown=soon", "--cooldown is 'soon'; it must be seconds"),
        ("run --node-ttl=0", "--node-ttl is '0'; it must be from 0.5 seconds"),
        ("run --namespace=My-App", "--namespace is 'My-App'; it must be a lowercase letter"),
        ("run --proc=3", "No such option '--proc'. (Did you mean one of: '--prefetch', '--procs'?"),
        ("run now", "unexpected extra argument"),
        ("rnu", "there is no command 'rnu'; did you mean run?"),
        ("queue lss", "there is no command 'lss'; did you mean ls?"),
        ("queue pause", "Missing argument 'QUEUE...'"),
        ("job show", "Missing argument 'ID'"),
        ("job show ''", "ID is ''; give it a text"),
        ("failed retry ''", "ID is ''; give it a text"),
        ("job dispatch jobs:A {", "the payload is not JSON: Expecting property name enclosed in"),
        ("kill", "Missing argument 'WORKER|ID'"),
        ("kill ''", "WORKER|ID is ''; give it a text"),
        ("failed retry", "give either job ids, or options that select jobs such as --queue"),
        ("failed forget --all 1234", "give either job ids, or options that select jobs"),
        ("failed retry --all --attempts=0", "--attempts"),
        ("job cancel", "give either job ids, or options that select jobs such as --queue"),
        ("job cancel --queue=a", "There is no terminal to ask on; give --yes"),
        ("job move --queue=a", "Missing option '--to'"),
        ("job move --queue=a --to=a", "--queue and --to are both 'a'"),
        ("job move --queue=a --to='a b'", "--to is 'a b'; it must have no spaces"),
        ("job ls --since=25:00", "--since is '25:00'"),
        ("job ls --error=", "--error is ''; give it a text"),
        ("failed ls --state=failed", "No such option '--state'"),
        ("failed retry --queue=a 0192f0c0", "give either job ids, or options that select jobs"),
        ("job ls --since=soon", "--since is 'soon'; write how long ago, such as '2h'"),
        ("job ls --state=done", "'done' is not one of 'ready', 'delayed', 'parked', 'running'"),
        ("job ls --sate=ready", "No such option '--sate'. (Did you mean one of: '--since', '--st"),
        ("failed forget --all", "There is no terminal to ask on; give --yes"),
        ("failed ls --older-than=old", "--older-than is 'old'"),
        ("failed ls --limit=0", "--limit"),
        ("make job 1st", "'1st' is not a class name such as SendMail"),
        ("make unit upstart", "'upstart' is not one of 'systemd', 'supervisor', 'k8s'"),
        ("make job import", "'import' is already taken"),
    ],
)
def test_usage_errors(poolq: Command, args: str, said: str) -> None:
    done = poolq(*shlex.split(args))
    assert said in done.line
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("run --engine=reddis://h", "engine (--engine): 'reddis://h' has an unknown scheme"),
        ("queue ls --engine=redis://h:99999", "has an invalid port"),
        ("job show 1 --engine=mysql://h", "names no database"),
        ("db migrate --engine=database", "DATABASE_URL"),
        ("run --engine=mysql://h/d?nonsense=1", "unknown option 'nonsense'; use"),
        ("run --engine=postgres://h/d?shema=a", "unknown option 'shema' (did you mean schema?)"),
        ("queue ls --engine=postgresql+psycopg://h", "names no database"),
        ("run --engine=sync", "a pool cannot run on sync://"),
        ("run --engine=null://", "a pool cannot run on null://"),
        ("queue ls --engine=sync", "stores no jobs"),
        ("failed ls --engine=null", "stores no jobs"),
    ],
)
def test_a_bad_engine_is_bad_configuration_wherever_it_came_from(
    poolq: Command, args: str, said: str
) -> None:
    done = poolq(*args.split())
    assert said in done.line
    assert (done.code, done.out) == (78, "")


def test_no_broker(poolq: Command) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"redis://:hunter2@127.0.0.1:{taken.getsockname()[1]}/0"
        for args in ("queue ls", "failed ls --json", "job show 1", "queue pause a"):
            done = poolq(*args.split(), "--engine", url)
            assert (done.code, done.out) == (69, "")
            assert "hunter2" not in done.line
        done = poolq("doctor", "--json", "--engine", url)
    assert done.code == 69
    assert [check["level"] for check in done.json["checks"]] == ["ok", "bad"]
    assert "hunter2" not in done.out


def test_help_and_version(poolq: Command) -> None:
    assert NewCommand(poolq.folder)("--help").out.startswith("Usage: poolq [OPTIONS] COMMAND")
    for words in ([], ["queue"], ["job"], ["failed"], ["db"], ["make"]):
        assert "..." not in poolq(*words, "--help").out.partition("Commands:")[2], words
    assert "--stop-timeout SECONDS" in poolq("run", "-h").out
    assert poolq("version").out == poolq("--version").out
    assert poolq("version").out.startswith("poolq ")
    for nothing in ([], ["queue"]):
        done = poolq(*nothing)
        assert (done.code, done.out) == (2, "")
        assert "Commands:" in done.err


def test_config_show(poolq: Command) -> None:
    (poolq.folder / ".env").write_text("POOLQ_ENGINE=redis://:hunter2@h\nPOOLQ_QUEUE=b,a\n")
    done = poolq("config", "show", "--procs=3")
    assert "hunter2" not in done.out
    shown = {line.split()[0]: line.split()[1] for line in done.out.splitlines()}
    assert shown["engine"] == "redis://:***@h"
    assert (shown["procs"], shown["queue"], shown["until_empty"]) == ("3", "b,a", "off")
    assert max(map(len, done.out.splitlines())) > 80  # nothing is cut for a pipe
    document = poolq("config", "show", "--json").json
    assert document["folder"] == str(poolq.folder)
    assert document["settings"]["queue"] == {
        "value": ["b", "a"],
        "source": f"POOLQ_QUEUE in {poolq.folder}/.env",
    }
    assert json.dumps(document).count("hunter2") == 0


@pytest.mark.parametrize("command", ["version", "config show --json"])
def test_an_output_that_cannot_be_written(poolq: Command, command: str) -> None:
    done = NewCommand(poolq.folder, writes_to_a_full_disk)(*command.split())
    assert (done.code, done.err) == (1, "poolq: the output: No space left on device\n")


def writes_to_a_full_disk() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
