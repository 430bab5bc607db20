"""The demo's output: progress and advice on stderr, the summary on stdout."""

import json
import mailbox
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from poolq.cli import tables
from poolq.demo.work import FAILING_ANSWERS, MAIL_COUNT, RECOVERING_ANSWERS, DemoFiles, Work
from poolq.engines.base import QueueCounts, Totals


class Output(NamedTuple):
    """What the jobs have written: index entries by file, ids of mails, and URLs of webhooks. An
    entry or URL that was written twice counts once."""

    entries: dict[str, dict[str, Any]]
    mails: list[str]
    delivered: set[str]
    gave_up: set[str]
    crash: str


def read_output(files: DemoFiles) -> Output:
    return Output(
        {entry["file"]: entry for entry in _lines(files.index)},
        [str(mail["Message-ID"]) for mail in mailbox.Maildir(files.maildir, create=False)],
        {entry["url"] for entry in _lines(files.delivered)},
        {entry["url"] for entry in _lines(files.gave_up)},
        files.crash.read_text() if files.crash.exists() else "",
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def mismatches(work: Work, files: DemoFiles, totals: Totals, found: Output) -> list[str]:
    """Compare how much was dispatched, counted by the engine, and found in a file. Returns what
    differs."""
    given_up = min(count(totals, "failed"), len(FAILING_ANSWERS))  # a user may retry them
    indexed, sent = count(totals, "done", "index"), count(totals, "done", "mails")
    delivered, again = count(totals, "done", "webhooks"), count(totals, "done", "crash")
    rows = [
        ("files indexed", len(work.sources), indexed, len(found.entries.keys() & set(work.sources)),
         files.index),
        ("mails sent", MAIL_COUNT, sent, len(set(found.mails)), files.maildir),
        ("mails, counting duplicates", MAIL_COUNT, sent, len(found.mails), files.maildir),
        ("webhooks delivered", len(RECOVERING_ANSWERS), delivered, len(found.delivered),
         files.delivered),
        ("webhooks given up", len(FAILING_ANSWERS), given_up, len(found.gave_up), files.gave_up),
        ("workers killed", 1, count(totals, "crashed"), int(bool(found.crash)), files.crash),
        ("jobs run again after a kill", 1, again, int("run again" in found.crash), files.crash),
    ]  # fmt: skip
    return [
        f"{what}: {sent} dispatched, {counted} counted by the engine, {seen} found in {place}"
        for what, sent, counted, seen, place in rows
        if not sent == counted == seen
    ]


def count(totals: Totals, counter: str, queue: str | None = None) -> int:
    """Return one of the engine's counters, for one queue or for all."""
    return sum(counts[counter] for name, counts in totals.items() if queue is None or name == queue)


def begin(work: Work, files: DemoFiles, pool: str) -> None:
    """Print what the demo does. `pool` is the name by which other commands find the pool, or ""."""
    say(
        f"4 workers index {len(work.sources)} files of {work.library}, send {MAIL_COUNT} "
        "mails and survive failures and a crash"
    )
    say(f"all output goes to {files.folder}")
    if pool:
        say(f"to watch it from another terminal: {_program()} top --name={pool}")


def progress(work: Work, totals: Totals, seconds: float) -> None:
    done, failed = count(totals, "done"), count(totals, "failed")
    say(
        f"{seconds:3.0f} s: {done + failed:4} of {work.jobs} jobs done, "
        f"{count(totals, 'done', 'mails'):2} of {MAIL_COUNT} mails sent, "
        f"{count(totals, 'limited')} times held back, {count(totals, 'retried')} retried, "
        f"{failed} failed, {count(totals, 'crashed')} crashed"
    )


def end(work: Work, files: DemoFiles, totals: Totals, seconds: float, *, as_json: bool) -> int:
    """Print the summary. Returns 1 if the engine's counters and the output disagree, else 0."""
    found = read_output(files)
    names = {"limited": "rate_limited"}
    counters = ("done", "failed", "retried", "limited", "crashed")
    numbers = {names.get(name, name): count(totals, name) for name in counters}
    if as_json:
        numbers_and_place = {"seconds": round(seconds, 3), "output": str(files.folder)}
        tables.print_json({**numbers, **numbers_and_place})
    else:
        tables.print_fields(_fields(numbers, found, seconds, files))
        sys.stdout.flush()
        say(f"to see more: {_command(files, 'failed ls')}")
    wrong = mismatches(work, files, totals, found)
    for line in wrong:
        say(f"these numbers differ: {line}")
    return 1 if wrong else 0


def _fields(
    numbers: dict[str, int], found: Output, seconds: float, files: DemoFiles
) -> dict[str, object]:
    rate = (numbers["done"] + numbers["failed"]) / seconds
    entries = found.entries.values()
    lines = sum(entry.get("lines", 0) for entry in entries)
    definitions = sum(entry.get("definitions", 0) for entry in entries)
    return {
        "done": numbers["done"],
        "failed": f"{numbers['failed']} permanently, after on_failure()",
        "retried": f"{numbers['retried']} after an error",
        "held back": f"{numbers['rate_limited']} times by a rate limit, until the next second",
        "crashed": f"{numbers['crashed']} whose worker was killed, and run again",
        "took": f"{seconds:.1f} s, {rate:.0f} jobs per second",
        "output": f"{files.folder}\n"
        f"{files.index.name}: {len(entries)} files, {lines} lines, {definitions} definitions\n"
        f"{files.maildir.name}/: {len(found.mails)} mails\n"
        f"{files.gave_up.name}: {len(found.gave_up)} jobs that failed permanently\n"
        f"{files.log.name}: the pool's log",
    }


def stopped(totals: Totals, queues: Sequence[QueueCounts], files: DemoFiles) -> None:
    ended = count(totals, "done") + count(totals, "failed")
    left = sum(queue.ready + queue.delayed + queue.parked + queue.running for queue in queues)
    say(f"stopped: {ended} jobs have ended, {left} wait; the output is in {files.folder}")
    if left:
        say(f"to continue: {_command(files, 'run --until-empty')}")


def _command(files: DemoFiles, args: str) -> str:
    """Return the shell command that runs poolq in the folder."""
    return f"cd {shlex.quote(str(files.folder))} && {_program()} {args}"


def _program() -> str:
    return "poolq" if shutil.which("poolq") else f"{shlex.quote(sys.executable)} -m poolq"


def say(text: str) -> None:
    print(f"poolq demo: {text}", file=sys.stderr, flush=True)
