"""Retries, forgets, cancels or moves the jobs that a command selects.

The command prints a line for each job that is given by id, and only the number of the jobs that
options select. The latter are changed in pages. Jobs that fail or become ready after the command
has begun are not changed, so the command ends even if such jobs keep coming.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from poolq.cli import job_ids, listing, options
from poolq.cli.filters import Selection
from poolq.cli.progress import Progress, exact_sum
from poolq.engines import search
from poolq.engines.base import Engine, StoredJob
from poolq.monitor import job_history, unique_keys

FAILED = ("failed",)
MAX_SHOWN = 100  # jobs that --dry-run lists
Bodies = Mapping[str, bytes]


class Change(NamedTuple):
    """What a command does to jobs in one of `states`. `verb`, `past` and `passive` name it:
    "forget", "forgot", "forgotten". `act` takes ids and new bodies, and returns the ids of the jobs
    that it has changed. `bodies` returns the new bodies of jobs; it leaves out jobs that cannot be
    changed, and adds to `refused` why not. `asks`: whether the command asks before it changes jobs
    that options select. `skip` returns whether a selected job needs no change. `hints`: by state,
    what to do with a job of that state instead."""

    verb: str
    past: str
    passive: str
    states: tuple[str, ...]
    act: Callable[[Sequence[str], Bodies], list[str]]
    bodies: Callable[[Sequence[StoredJob]], Bodies] | None = None
    refused: Mapping[str, str] = {}
    asks: bool = False
    skip: Callable[[StoredJob], bool] | None = None
    hints: Mapping[str, str] = {}


def run(engine: Engine, chosen: Selection, change: Change) -> int:
    """Change the selected jobs, or only show them with --dry-run. Returns the exit code."""
    ids = job_ids.resolve(engine, chosen.ids)
    if chosen.preview:
        return _preview(engine, chosen, change, ids)
    total = len(ids) or _confirmed_total(engine, chosen, change)
    changed: list[str] = []
    taken: dict[str, str] = {}
    with Progress(change.passive, total) as progress:
        for batch in _batches(engine, chosen, change, ids, brief=change.bodies is None):
            bodies = change.bodies(_jobs(engine, batch)) if change.bodies else {}
            wanted = list(bodies) if change.bodies else [_id(one) for one in batch]
            found = change.act(wanted, bodies) if wanted else []
            changed += found
            taken.update(_keys_taken(engine, change, set(wanted) - set(found), {}))
            progress.add(len(found))
    if changed:
        one = f"job {changed[0]} is" if len(changed) == 1 else f"{len(changed)} jobs are"
        options.announce(engine, f"{one} {change.passive}{chosen.filters.words}")
    refused = {**change.refused, **taken}
    return _report(engine, chosen, change._replace(refused=refused), ids, changed)


def _batches(
    engine: Engine, chosen: Selection, change: Change, ids: Sequence[str], *, brief: bool
) -> Iterator[Sequence[str] | Sequence[StoredJob]]:
    """Yield the ids in batches, or else pages of the jobs that the options select, if `brief`
    without their bodies and states."""
    if ids:
        size = listing.PAGE_SIZE
        yield from (ids[at : at + size] for at in range(0, len(ids), size))
        return
    began = engine.now()
    for status in _states(chosen, change):
        wanted = chosen.filters.job_filter(began, status)
        if status in ("ready", "running", "failed"):
            # Jobs that became ready during the pages of delayed and parked jobs are included, and
            # those that have started.
            now = engine.now()
            wanted = wanted._replace(until=now if wanted.until is None else min(now, wanted.until))
        for page in search.pages(engine, wanted, listing.PAGE_SIZE, brief=brief):
            yield [one for one in page if not (change.skip and change.skip(one))]


def _states(chosen: Selection, change: Change) -> Sequence[str]:
    return (chosen.filters.status,) if chosen.filters.status else change.states


def _id(one: str | StoredJob) -> str:
    return one if isinstance(one, str) else one.id


def _jobs(engine: Engine, batch: Sequence[str] | Sequence[StoredJob]) -> list[StoredJob]:
    found = (engine.find(one) if isinstance(one, str) else one for one in batch)
    return [one for one in found if one is not None]


def _confirmed_total(engine: Engine, chosen: Selection, change: Change) -> int | None:
    """Ask, if the command must, and return how many jobs the options select, if that is known."""
    ask = change.asks and not chosen.yes
    if ask:
        options.require_terminal(f"'{change.verb}' asks before it changes jobs.")
    filters = chosen.filters
    total = None
    if filters.by_queue_only:
        queues = [one for one in engine.counts() if filters.queue in (None, one.queue)]
        states = _states(chosen, change)
        total = exact_sum(engine, (getattr(one, state) for one in queues for state in states))
    if total is None and ask:
        with Progress("counted") as progress:
            for page in _batches(engine, chosen, change, (), brief=True):
                progress.add(len(page))
        total = progress.count
    if ask and total:
        jobs = _jobs_text(total, filters.status or ("failed" if change.states == FAILED else ""))
        options.confirm(f"{change.verb.capitalize()} {jobs}{filters.words}?", chosen.yes)
    return total


def _jobs_text(count: int, state: str = "") -> str:
    return f"{count} {state}{' ' * bool(state)}job{'s' * (count != 1)}"


def _preview(engine: Engine, chosen: Selection, change: Change, ids: Sequence[str]) -> int:
    """Show the first jobs that would change, and the number of all."""
    shown: list[StoredJob] = []
    found: list[str] = []
    taken: dict[str, str] = {}
    keys: dict[str, str] = {}
    with Progress("counted") as progress:
        for batch in _batches(engine, chosen, change, ids, brief=False):
            jobs = [one for one in _jobs(engine, batch) if one.status in change.states]
            if change.bodies:
                able = change.bodies(jobs)
                jobs = [one for one in jobs if one.id in able]
            tied = [one.id for one in jobs if one.ties.unique is not None]
            taken.update(_keys_taken(engine, change, tied, keys))
            jobs = [one for one in jobs if one.id not in taken]
            shown += jobs[: MAX_SHOWN - len(shown)]
            found += [one.id for one in jobs]
            progress.add(len(jobs))
    if shown and not chosen.as_json:
        listing.print_jobs(shown, engine.now())
    refused = {**change.refused, **taken}
    code = _report(engine, chosen, change._replace(refused=refused), ids, found)
    if not chosen.as_json:
        only = f"; the first {MAX_SHOWN} are shown" if len(found) > MAX_SHOWN else ""
        options.warn(f"{_jobs_text(len(found))} would be {change.passive}{only}")
    return code


def _report(
    engine: Engine, chosen: Selection, change: Change, ids: Sequence[str], changed: Sequence[str]
) -> int:
    """Print what has changed and, for jobs that have not, why. Returns the exit code."""
    done = set(changed)
    refused = dict(change.refused)
    for id in ids:
        if id not in done and id not in refused:
            refused[id] = _reason(engine, id, change)
    if chosen.as_json:
        from poolq.cli import tables

        tables.print_json({
            "dry_run": chosen.preview, "count": len(changed), "ids": changed, "refused": refused,
        })  # fmt: skip
    elif not chosen.preview:
        for id in changed if ids else ():
            options.print_line(f"{change.past} {id}")
        if not ids:
            options.print_line(f"{change.past} {_jobs_text(len(changed))}")
    _warn_of(refused, change, one_by_one=bool(ids))
    if ids or changed or refused:
        return 1 if refused else 0
    failed = change.states == FAILED
    return listing.nothing(
        engine, chosen.filters, engine.now(), failed=failed, silent=chosen.as_json
    )


def _warn_of(refused: Mapping[str, str], change: Change, *, one_by_one: bool) -> None:
    """Print why jobs have not changed, for each job or for all with the same reason."""
    if one_by_one:
        for id, why in refused.items():
            options.warn(f"job {id} {why}")
        return
    for why, count in Counter(refused.values()).items():
        options.warn(f"{_jobs_text(count)} not {change.passive}: {why}")


def _keys_taken(
    engine: Engine, change: Change, ids: Iterable[str], keys: dict[str, str]
) -> dict[str, str]:
    """Return why jobs cannot be retried, by id, if it is because other jobs have their keys. `keys`
    has the jobs before these that would take a free key; those of these jobs are added."""
    why: dict[str, str] = {}
    for id in ids if change.verb == "retry" else ():
        stored = engine.find(id)
        if stored is not None and stored.ties.unique is not None and not stored.holder:
            stored = stored._replace(holder=keys.setdefault(stored.ties.unique.key, id))
        if text := unique_keys.why_not_retried(stored):
            why[id] = text
    return why


def _reason(engine: Engine, id: str, change: Change) -> str:
    """Return why a job cannot be changed, as the end of a sentence."""
    stored = engine.find(id)
    if stored is None:
        return job_history.NOT_STORED
    if stored.status in change.states:
        return "changed in the meantime; try again"
    *others, last = change.states
    states = f"{', '.join(others)} and {last}" if others else last
    why = f"is {stored.status}; only {states} jobs can be {change.passive}"
    hint = change.hints.get(stored.status)
    return f"{why}; {hint.format(id=id)}" if hint else why
