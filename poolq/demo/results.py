"""The demo's output: progress and advice on stderr, the summary on stdout."""

import json
import mailbox
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poolq.cli import tables
from poolq.demo.work import FAILING_ANSWERS, MAIL_COUNT, RECOVERING_ANSWERS, DemoFiles, Work
from poolq.engines.base import QueueCounts, Totals


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


def end(work: Work, files: DemoFiles, totals: Totals, seconds: float, *, as_json: bool) -> None:
    """Print the summary: what the engine has counted, and what is in the files."""
    done, failed, retried, limited, crashed = (
        count(totals, name) for name in ("done", "failed", "retried", "limited", "crashed")
    )
    if as_json:
        tables.print_json(
            {"done": done, "failed": failed, "retried": retried, "rate_limited": limited,
             "crashed": crashed, "seconds": round(seconds, 3), "output": str(files.folder)}
        )  # fmt: skip
        return
    entries = {entry["file"]: entry for entry in _lines(files.index)}.values()
    indexed = f"{len(entries)} files of {len(work.sources)}"
    delivered = len({one["url"] for one in _lines(files.delivered)})
    lines = sum(entry.get("lines", 0) for entry in entries)
    definitions = sum(entry.get("definitions", 0) for entry in entries)
    mails = len(mailbox.Maildir(files.maildir, create=False))
    output = (
        str(files.folder),
        f"{files.index.name}: {indexed}, {lines} lines, {definitions} definitions",
        f"{files.maildir.name}/: {mails} mails of {MAIL_COUNT}",
        f"{files.delivered.name}: {delivered} webhooks of {len(RECOVERING_ANSWERS)} that recover",
        f"{files.gave_up.name}: {len(_lines(files.gave_up))} jobs that failed permanently",
        f"{files.log.name}: the pool's log",
    )
    tables.print_fields(
        {
            "done": f"{done} of {work.jobs - len(FAILING_ANSWERS)}",
            "failed": f"{failed} permanently, after on_failure()",
            "retried": f"{retried} after an error",
            "held back": f"{limited} times by a rate limit, until the next second",
            "crashed": f"{crashed} whose worker was killed, and run again",
            "took": f"{seconds:.1f} s, {(done + failed) / seconds:.0f} jobs per second",
            "output": "\n".join(output),
        }
    )
    sys.stdout.flush()
    say(f"to see more: {_command(files, 'failed ls')}")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


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
