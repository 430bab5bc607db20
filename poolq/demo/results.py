"""The demo's output: advice on stderr, the summary on stdout."""

import json
import mailbox
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from poolq.cli import tables
from poolq.demo.work import FAILING_ANSWERS, MAIL_COUNT, RECOVERING_ANSWERS, Work
from poolq.engines.base import Totals


def begin(work: Work, folder: Path, pool: str) -> None:
    """Print what the demo does. `pool` is the name by which other commands find the pool."""
    say(
        f"4 workers index {len(work.sources)} files of {work.library}, send {MAIL_COUNT} "
        "mails and survive failures and a crash, in less than a minute"
    )
    say(f"all output goes to {folder}")
    say(f"to watch it from another terminal: {_program()} top --name={pool}")


def end(work: Work, folder: Path, totals: Totals, seconds: float, *, as_json: bool) -> None:
    """Print the summary: what the engine has counted, and what is in the files."""
    from poolq.demo.jobs import DELIVERED, GAVE_UP, INDEX, MAILDIR

    counted = sum(map(Counter[str], totals.values()), Counter[str]())
    done, failed, retried, limited, crashed = (
        counted[name] for name in ("done", "failed", "retried", "limited", "crashed")
    )
    if as_json:
        tables.print_json(
            {"done": done, "failed": failed, "retried": retried, "rate_limited": limited,
             "crashed": crashed, "seconds": round(seconds, 3), "output": str(folder)}
        )  # fmt: skip
        return
    entries = {entry["file"]: entry for entry in _lines(folder / INDEX)}.values()
    indexed = f"{len(entries)} files of {len(work.sources)}"
    lines = sum(entry.get("lines", 0) for entry in entries)
    definitions = sum(entry.get("definitions", 0) for entry in entries)
    delivered = len({one["url"] for one in _lines(folder / DELIVERED)})
    mails = len(mailbox.Maildir(folder / MAILDIR, create=False))
    output = (
        str(folder),
        f"{INDEX}: {indexed}, {lines} lines, {definitions} definitions",
        f"{MAILDIR}/: {mails} mails of {MAIL_COUNT}",
        f"{DELIVERED}: {delivered} webhooks of {len(RECOVERING_ANSWERS)} that recover",
        f"{GAVE_UP}: {len(_lines(folder / GAVE_UP))} jobs that failed permanently",
        "poolq.log: the pool's log",
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
    say(f"to see more: {_command(folder, 'failed ls')}")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stopped(ended: int, left: int, folder: Path) -> None:
    """Print how many jobs have ended, how many wait, and how to continue."""
    say(f"stopped: {ended} jobs have ended, {left} wait; the output is in {folder}")
    if left:
        say(f"to continue: {_command(folder, 'run --until-empty')}")


def _command(folder: Path, args: str) -> str:
    """Return the shell command that runs poolq in the folder."""
    return f"cd {shlex.quote(str(folder))} && {_program()} {args}"


def _program() -> str:
    return "poolq" if shutil.which("poolq") else f"{shlex.quote(sys.executable)} -m poolq"


def say(text: str) -> None:
    print(f"poolq demo: {text}", file=sys.stderr, flush=True)
