"""The demo's words: progress and advice on stderr, the summary on stdout."""

import shlex
import shutil
import sys
from collections.abc import Sequence

from poolq.cli import tables
from poolq.demo.check import Found, Line, Totals, count
from poolq.demo.work import MAILS, Places, Work
from poolq.engines.base import QueueCounts


def begin(work: Work, places: Places) -> None:
    _say(
        f"a pool of 4 indexes {len(work.sources)} files of {work.library}, sends {MAILS} mails "
        "and lives through failures and a crash"
    )
    _say(f"everything goes to {places.folder}")


def progress(work: Work, totals: Totals, seconds: float) -> None:
    """One line."""
    done, failed = count(totals, "done"), count(totals, "failed")
    _say(
        f"{seconds:3.0f} s: {done + failed:4} of {work.jobs} jobs done, "
        f"{count(totals, 'done', 'mails'):2} of {MAILS} mails sent, "
        f"{count(totals, 'limited')} rate-limited, {count(totals, 'retried')} retried, "
        f"{failed} failed, {count(totals, 'crashed')} crashed"
    )


def end(totals: Totals, found: Found, seconds: float, places: Places, *, json: bool) -> None:
    """The summary; as JSON: done failed retried rate_limited crashed seconds output."""
    numbers = {
        "done": count(totals, "done"),
        "failed": count(totals, "failed"),
        "retried": count(totals, "retried"),
        "rate_limited": count(totals, "limited"),
        "crashed": count(totals, "crashed"),
    }
    if json:
        tables.print_json({**numbers, "seconds": round(seconds, 3), "output": str(places.folder)})
        return
    rate = (numbers["done"] + numbers["failed"]) / seconds
    entries = found.entries.values()
    lines, tokens = (sum(entry.get(what, 0) for entry in entries) for what in ("lines", "tokens"))
    tables.print_fields(
        {
            "done": numbers["done"],
            "failed": f"{numbers['failed']} for good, after on_failure()",
            "retried": f"{numbers['retried']} after an error",
            "rate-limited": f"{numbers['rate_limited']} put off to the next second",
            "crashed": f"{numbers['crashed']}, its worker killed, and recovered",
            "took": f"{seconds:.1f} s, {rate:.0f} jobs per second",
            "output": f"{places.folder}\n"
            f"{places.index.name}: {len(found.entries)} files, {lines} lines, {tokens} tokens\n"
            f"{places.maildir.name}/: {len(found.mails)} mails\n"
            f"{places.gave_up.name}: {len(found.gave_up)} jobs that failed for good\n"
            f"{places.log.name}: what the pool said",
        }
    )
    sys.stdout.flush()
    _say(f"look around: {_command(places, 'failed ls')}")


def off(lines: Sequence[Line]) -> None:
    """What does not agree."""
    for line in lines:
        _say(f"this is wrong: {line}")


def stopping() -> None:
    _say("stopping: what runs may finish; a second time kills it")


def stopped(totals: Totals, queues: Sequence[QueueCounts], places: Places) -> None:
    """Before the end, by a signal."""
    ended = count(totals, "done") + count(totals, "failed")
    left = sum(queue.ready + queue.delayed + queue.parked + queue.running for queue in queues)
    _say(f"stopped: {ended} jobs have ended, {left} wait; all of it is in {places.folder}")
    if left:
        _say(f"to go on: {_command(places, 'run --until-empty')}")


def broken(code: int, places: Places) -> None:
    """The producer or the pool has ended as it should not."""
    how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
    _say(f"it ended {how} before its work was done; {places.log} tells why")


def _command(places: Places, args: str) -> str:
    """What a person can type to use poolq in the folder."""
    poolq = "poolq" if shutil.which("poolq") else f"{shlex.quote(sys.executable)} -m poolq"
    return f"cd {shlex.quote(str(places.folder))} && {poolq} {args}"


def _say(text: str) -> None:
    print(f"poolq demo: {text}", file=sys.stderr, flush=True)
