"""The demo's output: progress and advice on stderr, the summary on stdout."""

import shlex
import shutil
import sys
from collections.abc import Sequence

from poolq.cli import tables
from poolq.demo.check import Comparison, Output, count
from poolq.demo.work import MAIL_COUNT, DemoFiles, Work
from poolq.engines.base import QueueCounts, Totals


def begin(work: Work, files: DemoFiles, pool: str) -> None:
    """Print what the demo does. `pool` is the name by which other commands find the pool, or ""."""
    _print_line(
        f"4 workers index {len(work.sources)} files of {work.library}, send {MAIL_COUNT} "
        "mails and survive failures and a crash"
    )
    _print_line(f"all output goes to {files.folder}")
    if pool:
        _print_line(f"to watch it from another terminal: {_program()} top --name={pool}")


def progress(work: Work, totals: Totals, seconds: float) -> None:
    done, failed = count(totals, "done"), count(totals, "failed")
    _print_line(
        f"{seconds:3.0f} s: {done + failed:4} of {work.jobs} jobs done, "
        f"{count(totals, 'done', 'mails'):2} of {MAIL_COUNT} mails sent, "
        f"{count(totals, 'limited')} times held back, {count(totals, 'retried')} retried, "
        f"{failed} failed, {count(totals, 'crashed')} crashed"
    )


def end(totals: Totals, found: Output, seconds: float, files: DemoFiles, *, json: bool) -> None:
    """Print the summary, as text or as one JSON object."""
    numbers = {
        "done": count(totals, "done"),
        "failed": count(totals, "failed"),
        "retried": count(totals, "retried"),
        "rate_limited": count(totals, "limited"),
        "crashed": count(totals, "crashed"),
    }
    if json:
        tables.print_json({**numbers, "seconds": round(seconds, 3), "output": str(files.folder)})
        return
    rate = (numbers["done"] + numbers["failed"]) / seconds
    entries = found.entries.values()
    lines, definitions = (
        sum(entry.get(what, 0) for entry in entries) for what in ("lines", "definitions")
    )
    tables.print_fields(
        {
            "done": numbers["done"],
            "failed": f"{numbers['failed']} permanently, after on_failure()",
            "retried": f"{numbers['retried']} after an error",
            "held back": f"{numbers['rate_limited']} times by a rate limit, until the next second",
            "crashed": f"{numbers['crashed']} whose worker was killed, and run again",
            "took": f"{seconds:.1f} s, {rate:.0f} jobs per second",
            "output": f"{files.folder}\n"
            f"{files.index.name}: {len(found.entries)} files, {lines} lines, "
            f"{definitions} definitions\n"
            f"{files.maildir.name}/: {len(found.mails)} mails\n"
            f"{files.gave_up.name}: {len(found.gave_up)} jobs that failed permanently\n"
            f"{files.log.name}: the pool's log",
        }
    )
    sys.stdout.flush()
    _print_line(f"to see more: {_command(files, 'failed ls')}")


def mismatches(lines: Sequence[Comparison]) -> None:
    for line in lines:
        _print_line(f"these numbers differ: {line}")


def stopping() -> None:
    _print_line("stopping: running jobs may finish; a second signal kills them")


def stopped(totals: Totals, queues: Sequence[QueueCounts], files: DemoFiles) -> None:
    ended = count(totals, "done") + count(totals, "failed")
    left = sum(queue.ready + queue.delayed + queue.parked + queue.running for queue in queues)
    _print_line(f"stopped: {ended} jobs have ended, {left} wait; the output is in {files.folder}")
    if left:
        _print_line(f"to continue: {_command(files, 'run --until-empty')}")


def broken(code: int, files: DemoFiles) -> None:
    """Print that the producer or the pool has failed."""
    how = f"exited with code {code}" if code >= 0 else f"was killed by signal {-code}"
    _print_line(f"a process {how} before the work was done; {files.log} says why")


def _command(files: DemoFiles, args: str) -> str:
    """Return the shell command that runs poolq in the folder."""
    return f"cd {shlex.quote(str(files.folder))} && {_program()} {args}"


def _program() -> str:
    return "poolq" if shutil.which("poolq") else f"{shlex.quote(sys.executable)} -m poolq"


def _print_line(text: str) -> None:
    print(f"poolq demo: {text}", file=sys.stderr, flush=True)
