"""The acts on stored jobs: retry, forget, cancel and move.

An act changes jobs in batches: the jobs that a person names, or pages of those that a filter
selects. It skips jobs that fail or become ready after it has begun to read jobs of that state, so
it ends even if such jobs keep coming. If a job stays as it is, the reason is the end of a sentence
that begins with the job.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from poolq.acts import filters
from poolq.engines import search
from poolq.engines.base import Engine, StoredJob
from poolq.engines.search import JobFilter
from poolq.monitor import job_history

PAGE_SIZE = 1000  # jobs of a batch
GRACE = 10_000_000  # microseconds that a cancelled job has to end before its worker is killed
FAILED = ("failed",)
#: Read in this order, so that a delayed or parked job that becomes ready during an act is found.
CHANGED = ("delayed", "parked", "ready")
ANY = JobFilter()
Bodies = Mapping[str, bytes]
#: Jobs of a batch: their ids, if a person has named them, or the jobs that a filter has found.
Batch = Sequence[str] | Sequence[StoredJob]


class Outcome(NamedTuple):
    """`changed`: the ids of the jobs that were changed. `refused`: why others were not, by id."""

    changed: list[str]
    refused: dict[str, str]


class Act(NamedTuple):
    """What is done to jobs in one of `states`. `verb`, `doing`, `past` and `done` name it: forget,
    forgetting, forgot, forgotten. `command`: the `poolq` command for it. `run` takes ids and new
    bodies, and returns the ids of the jobs that it has changed. `permanent`: whether it deletes the
    jobs. `to`: the queue to which jobs move. `revise` returns the new bodies of the jobs that can
    be changed, and why others cannot. `hints`: what to do instead with a job in another state, by
    that state."""

    verb: str
    command: str
    doing: str
    past: str
    done: str
    states: tuple[str, ...]
    run: Callable[[Engine, Sequence[str], Bodies], list[str]]
    permanent: bool = False
    to: str = ""
    revise: Callable[[Iterable[StoredJob]], tuple[dict[str, bytes], dict[str, str]]] | None = None
    hints: Mapping[str, str] = {}

    def kind(self, wanted: JobFilter) -> str:
        """Return a word for the jobs that a filter selects for this act: failed, waiting, …"""
        if wanted.status or self.states == FAILED:
            return wanted.status or "failed"
        return "waiting or running" if "running" in self.states else "waiting"

    def question(self, count: int, wanted: JobFilter) -> str:
        end = " permanently" if self.permanent else f" to {self.to}" if self.to else ""
        jobs = filters.jobs(count, self.kind(wanted))
        return f"{self.verb.capitalize()} {jobs}{filters.which(wanted)}{end}?"

    def told(self, ids: Sequence[str], wanted: JobFilter = ANY) -> str:
        """Say which jobs were changed: those with these ids, which a filter may have selected."""
        end = f"{self.done} to {self.to}" if self.to else self.done
        if len(ids) == 1:
            return f"job {ids[0]} is {end}"
        return f"{filters.jobs(len(ids))}{filters.which(wanted)} are {end}"


def _retry(engine: Engine, ids: Sequence[str], bodies: Bodies) -> list[str]:
    if not bodies:
        return engine.retry(ids)
    from poolq.jobs.message import decode

    return engine.retry(ids, bodies, {id: decode(body).expires for id, body in bodies.items()})


RETRY = Act("retry", "failed retry", "retrying", "retried", "retried", FAILED, _retry)
FORGET = Act(
    "forget", "failed forget", "forgetting", "forgot", "forgotten", FAILED,
    lambda engine, ids, _: engine.forget(ids), permanent=True,
)  # fmt: skip
CANCEL = Act(
    "cancel", "job cancel", "cancelling", "cancelled", "cancelled", CHANGED,
    lambda engine, ids, _: engine.cancel(ids), permanent=True,
    hints={
        "failed": "'poolq failed forget {id}' deletes it",
        "running": "'poolq job cancel --running {id}' ends it",
    },
)  # fmt: skip


def cancel_running(grace: int = GRACE) -> Act:
    """Return an act that also cancels running jobs, with `grace` microseconds for them to end."""

    def cancel(engine: Engine, ids: Sequence[str], _: Bodies) -> list[str]:
        # Waiting jobs are tried twice, as a worker may return a job to its queue in between.
        found = set(engine.cancel(ids))
        for act in (lambda some: engine.request_cancel(some, grace), engine.cancel):
            found.update(act([id for id in ids if id not in found]))
        return [id for id in ids if id in found]

    return CANCEL._replace(states=(*CHANGED, "running"), run=cancel)


def move(to: str, *, failed: bool = False) -> Act:
    """Return an act that moves waiting jobs, and if `failed`, failed ones too."""
    return Act(
        "move", "job move", "moving", "moved", "moved", (*CHANGED, *FAILED[: int(failed)]),
        lambda engine, ids, _: engine.move(ids, to), to=to,
    )  # fmt: skip


def pages(
    engine: Engine, act: Act, wanted: JobFilter, *, brief: bool = False
) -> Iterator[list[StoredJob]]:
    """Yield the jobs that a filter selects for an act. `brief`: without bodies and states."""
    for status in (wanted.status,) if wanted.status else act.states:
        found = wanted._replace(status=status)
        if status not in ("delayed", "parked"):
            # The clock is read here, so that jobs that became ready or started while delayed and
            # parked jobs were read are included.
            now = engine.now()
            found = found._replace(until=now if found.until is None else min(now, found.until))
        for page in search.pages(engine, found, PAGE_SIZE, brief=brief):
            yield [one for one in page if one.queue != act.to]


def batches(
    engine: Engine, act: Act, wanted: JobFilter | Sequence[str], *, brief: bool = True
) -> Iterator[Batch]:
    """Yield batches of the ids that a person has named, or of the jobs that a filter selects. If
    `brief`, the jobs come without their bodies, unless the act needs the bodies."""
    if isinstance(wanted, JobFilter):
        yield from pages(engine, act, wanted, brief=brief and act.revise is None)
        return
    yield from (wanted[at : at + PAGE_SIZE] for at in range(0, len(wanted), PAGE_SIZE))


def quick_count(engine: Engine, act: Act, wanted: JobFilter) -> int | None:
    """Return how many jobs a filter selects, or None if the counts of the queues do not tell it
    exactly. A person waits for the number, and reading pages of many jobs takes seconds."""
    others = wanted._replace(queue=None, status=None)
    if any(one is not None for one in others) or act.to:
        return None
    queues = [one for one in engine.counts() if wanted.queue in (None, one.queue)]
    states = (wanted.status,) if wanted.status else act.states
    counts = [getattr(one, state) for one in queues for state in states]
    most = engine.exact_counts
    return None if most is not None and max(counts, default=0) >= most else sum(counts)


def change(engine: Engine, act: Act, batch: Batch) -> Outcome:
    """Carry out an act. If a job that a filter has found has changed in the meantime, it is in
    neither part of the outcome."""
    ids = [one if isinstance(one, str) else one.id for one in batch]
    bodies: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    if act.revise is not None:
        bodies, refused = act.revise(_stored(engine, batch))
        ids = [id for id in ids if id in bodies or id not in refused]
    able = list(bodies) if act.revise else ids
    changed = act.run(engine, able, bodies) if able else []
    named, done = any(isinstance(one, str) for one in batch), set(changed)
    for id in ids:
        if id not in done and (why := _reason(engine, act, id, named=named)):
            refused[id] = why
    return Outcome(changed, refused)


def would_change(
    engine: Engine, act: Act, batch: Batch, keys: dict[str, str]
) -> tuple[list[StoredJob], dict[str, str]]:
    """Return the jobs that an act would change, and why it would not change others, by id. `keys`
    maps each unique key to the job that would take it; the keys of this batch are added."""
    found = [one for one in _stored(engine, batch) if one.status in act.states]
    refused: dict[str, str] = {}
    if act.revise is not None:
        bodies, refused = act.revise(found)
        found = [one for one in found if one.id in bodies]
    if act.states == FAILED and not act.permanent:
        for one in found:
            if one.unique is not None and (why := _key_taken(engine, one.id, keys)):
                refused[one.id] = why
    ids = {one.id for one in found}
    for id in batch:
        if isinstance(id, str) and id not in ids and id not in refused:
            refused[id] = _reason(engine, act, id, named=True)
    return [one for one in found if one.id not in refused], refused


def _stored(engine: Engine, batch: Batch) -> list[StoredJob]:
    found = (engine.find(one) if isinstance(one, str) else one for one in batch)
    return [one for one in found if one is not None]


def _key_taken(engine: Engine, id: str, keys: dict[str, str]) -> str:
    stored = engine.find(id)
    if stored is not None and stored.unique is not None and not stored.holder:
        stored = stored._replace(holder=keys.setdefault(stored.unique.key, id))
    return job_history.why_not_retried(stored)


def _reason(engine: Engine, act: Act, id: str, *, named: bool) -> str:
    """Return why a job was not changed, or "" if it is not `named` and has changed meanwhile."""
    if not named and act.verb != "retry":
        return ""
    stored = engine.find(id)
    why = job_history.why_not_retried(stored) if act.verb == "retry" else ""
    if why or not named:
        return why
    if stored is None:
        return job_history.NOT_STORED
    return unfit(act, id, stored.status) or "changed in the meantime; try again"


def unfit(act: Act, id: str, status: str) -> str:
    """Return why a job of this status cannot be changed, or ""."""
    if status in act.states:
        return ""
    *others, last = act.states
    states = f"{', '.join(others)} and {last}" if others else last
    why = f"is {status}; only {states} jobs can be {act.done}"
    hint = act.hints.get(status)
    return f"{why}; {hint.format(id=id)}" if hint else why
