"""Lists stored jobs, as a table or as JSON."""

from collections.abc import Sequence

import click
import msgspec

from poolq.acts import on_queues
from poolq.acts.filters import Filters
from poolq.cli import tables
from poolq.cli.options import wants_json, warn
from poolq.cli.stored import records
from poolq.common.names import closest, is_named, suggestion
from poolq.engines.base import Engine, StoredJob
from poolq.engines.search import pages, search
from poolq.jobs.message import name_and_queue
from poolq.monitor import amounts, job_history

PAGE_SIZE = 1000
MAX_LISTED = 1_000_000
max_option = click.option(
    "--limit", type=click.IntRange(1, MAX_LISTED), default=100, show_default=True,
    help="Maximum number.",
)  # fmt: skip


def show(engine: Engine, filters: Filters, limit: int, key: str) -> int:
    """Print up to `limit` jobs. `key`: the name of the list in the JSON document. Returns the exit
    code."""
    now = engine.now()
    found: list[StoredJob] = []
    for page in pages(engine, filters.at(now), min(limit + 1, PAGE_SIZE)):
        found += page
        if len(found) > limit:
            break
    more, found = len(found) > limit, found[:limit]
    if wants_json():
        tables.print_json({key: list(map(records.job, found)), "more": more})
    elif found:
        print_jobs(found, now)
    if more:
        warn(f"there are more than {limit}; use --limit to show more")
    return 0 if found else nothing(engine, filters, now)


def print_jobs(jobs: Sequence[StoredJob], now: int) -> None:
    """Print a table. If all jobs have failed, it shows their errors instead of their payloads."""
    failed = all(one.status == "failed" for one in jobs)

    def when(one: StoredJob) -> str:
        if tables.is_terminal():
            return amounts.moment(one.at / 1e6, now / 1e6)
        return amounts.local(one.at)

    columns = [
        tables.Column("ID", lambda one: one.id),
        tables.Column("QUEUE", lambda one: one.queue, elastic=True, rank=3),
        tables.Column("STATE", lambda one: one.status, rank=2),
        tables.Column("JOB", lambda one: name_and_queue(one.body)[0], elastic=True),
        tables.Column("FAILED" if failed else "WHEN", when, rank=1),
        tables.Column("PAYLOAD", lambda one: payload_text(one.body), elastic=True),
        tables.Column("ERROR", _error, elastic=True),
    ]
    left_out = ("STATE", "PAYLOAD") if failed else ("ERROR",)
    tables.print_table([one for one in columns if one.title not in left_out], jobs)


def _error(one: StoredJob) -> str:
    return job_history.last_error(one).partition("\n")[0]


def payload_text(body: bytes) -> str:
    """Return a message's payload as JSON on one line, or the text of an unreadable message."""
    payload = records.payload(body)[0]
    return payload if isinstance(payload, str) else msgspec.json.encode(payload).decode()


def nothing(engine: Engine, filters: Filters, now: int) -> int:
    """Print that no job matches, unless --json is given. Returns the exit code. If --queue or --job
    seems to be a misspelled name, the text is printed in any case, and the exit code is 1."""
    text, is_mistake = _nothing(engine, filters, now)
    if is_mistake or not wants_json():
        warn(text)
    return int(is_mistake)


def _nothing(engine: Engine, filters: Filters, now: int) -> tuple[str, bool]:
    """Return a text that no job matches, and whether a name seems to be misspelled."""
    if filters == Filters():
        return f"there is no job in namespace {engine.namespace!r}", False
    if filters == Filters(status="failed"):
        return "no job has failed", False
    text = f"no {'failed job' if filters.status == 'failed' else 'job'} matches"
    queues = [one.queue for one in engine.counts()] if filters.queue else []
    if filters.queue and filters.queue not in queues:
        unknown = on_queues.unknown(filters.queue, queues, "'poolq queue ls' lists the queues")
        return f"{text}: {unknown}", bool(closest(filters.queue, queues))
    if filters.job:
        around = filters._replace(job=None).at(now)
        names = {name_and_queue(one.body)[0] for one in search(engine, around).jobs}
        hint = suggestion(filters.job, [one for one in names if not is_named(one, filters.job)])
        return f"{text} job {filters.job!r}; {hint}" if hint else text, bool(hint)
    return text, False
