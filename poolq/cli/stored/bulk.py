"""Retries, forgets, cancels or moves the jobs that a command selects.

The command prints a line for each job that is given by id, and only the number of the jobs that
options select.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from poolq.acts import filters, job_ids, on_jobs
from poolq.acts.on_jobs import Act
from poolq.cli import options, tables
from poolq.cli.stored import listing
from poolq.cli.stored.filters import Selection
from poolq.cli.stored.progress import Progress
from poolq.engines.base import Engine, StoredJob
from poolq.engines.search import JobFilter

MAX_SHOWN = 100  # jobs that --dry-run lists


def run(engine: Engine, chosen: Selection, act: Act, *, asks: bool = False) -> int:
    """Change the selected jobs, or only show them with --dry-run. `asks`: whether the command asks
    before it changes jobs that options select. Returns the exit code."""
    ask = asks and not (chosen.ids or chosen.yes or chosen.preview)
    if ask:
        options.require_terminal(f"'{act.verb}' asks before it changes jobs.")
    with options.usage():
        ids = list(dict.fromkeys(job_ids.resolve(engine, id.strip()) for id in chosen.ids))
    wanted = chosen.filters.at(engine.now())
    if chosen.preview:
        return _preview(engine, chosen, act, ids or wanted)
    if ask:
        _confirm(engine, act, wanted)
    changed: list[str] = []
    refused: dict[str, str] = {}
    with Progress(act.done) as progress:
        for batch in on_jobs.batches(engine, act, ids or wanted):
            outcome = on_jobs.change(engine, act, batch)
            changed += outcome.changed
            refused.update(outcome.refused)
            progress.add(len(outcome.changed))
    if changed:
        options.announce(engine, act.told(changed, wanted))
    return _report(engine, chosen, act, changed, refused)


def _confirm(engine: Engine, act: Act, wanted: JobFilter) -> None:
    """Count the jobs that the options select, and ask."""
    count = on_jobs.quick_count(engine, act, wanted)
    if count is None:
        with Progress("counted") as progress:
            for page in on_jobs.pages(engine, act, wanted, brief=True):
                progress.add(len(page))
        count = progress.count
    if count:
        options.confirm(act.question(count, wanted), yes=False)


def _preview(engine: Engine, chosen: Selection, act: Act, wanted: JobFilter | Sequence[str]) -> int:
    """Show the first jobs that would change, and how many would change in all."""
    shown: list[StoredJob] = []
    found: list[str] = []
    refused: dict[str, str] = {}
    keys: dict[str, str] = {}
    with Progress("counted") as progress:
        for batch in on_jobs.batches(engine, act, wanted, brief=False):
            jobs, others = on_jobs.would_change(engine, act, batch, keys)
            shown += jobs[: MAX_SHOWN - len(shown)]
            found += [one.id for one in jobs]
            refused.update(others)
            progress.add(len(jobs))
    if shown and not options.wants_json():
        listing.print_jobs(shown, engine.now())
    code = _report(engine, chosen, act, found, refused)
    if not options.wants_json():
        only = f"; the first {MAX_SHOWN} are shown" if len(found) > MAX_SHOWN else ""
        options.warn(f"{filters.jobs(len(found))} would be {act.done}{only}")
    return code


def _report(
    engine: Engine, chosen: Selection, act: Act, changed: Sequence[str], refused: Mapping[str, str]
) -> int:
    """Print which jobs have changed, and why others have not. Returns the exit code."""
    if options.wants_json():
        tables.print_json({
            "dry_run": chosen.preview, "count": len(changed), "ids": changed, "refused": refused,
        })  # fmt: skip
    elif not chosen.preview:
        for id in changed if chosen.ids else ():
            options.print_line(f"{act.past} {id}")
        if not chosen.ids:
            options.print_line(f"{act.past} {filters.jobs(len(changed))}")
    _warn_of(refused, act, one_by_one=bool(chosen.ids))
    if chosen.ids or changed or refused:
        return 1 if refused else 0
    return listing.nothing(engine, chosen.filters, engine.now())


def _warn_of(refused: Mapping[str, str], act: Act, *, one_by_one: bool) -> None:
    """Print why jobs have not changed: a line per job if `one_by_one`, else a line per reason."""
    if one_by_one:
        for id, why in refused.items():
            options.warn(f"job {id} {why}")
        return
    for why, count in Counter(refused.values()).items():
        options.warn(f"{filters.jobs(count)} not {act.done}: {why}")
