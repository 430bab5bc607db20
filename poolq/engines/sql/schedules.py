"""Schedules on an SQL database (see `engines/schedule_store.py`).

Whoever changes what is declared, or acts on what nobody declares, locks the row of `schema` first,
so that two declarations of one name do not cross, and no look sets aside what is being declared. A
tick locks only its schedules, skipping those that another keeper has locked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from poolq.engines.sanitize import blob, number, to_text
from poolq.engines.schedule_store import (
    BUFFER_INTERVAL,
    DECLARED_AT_ONCE,
    NEVER,
    REMOVED,
    Look,
    NewSchedule,
    PutEnd,
    RemoveEnd,
    Scheduled,
    ScheduleStore,
    Tick,
    TickEnd,
    is_unreadable,
    is_unreadable_declaration,
)
from poolq.engines.sql import ties
from poolq.engines.sql.limit_windows import SERVER_CLOCK
from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.engines.sql.replacing import push_contested

from poolq.engines.sql.schedule_statements import (  # isort: skip
    DUE, DUE_ELSEWHERE, NEXT, PENDING, SET_ASIDE, SET_UNREADABLE_ASIDE, SKIP_UNREADABLE,
    MARK_REMOVED, MARK_PAUSED_REMOVED, FORGET, LOCK_DECLARATIONS, STORED, RIVALS, OWN, DECLARE,
    UNDECLARE, PUT, WAKE_UP, LOCK_SCHEDULE, UNFINISHED, ADVANCE, WAIT, STORE_JOB, PAUSE, RESUME,
    REMOVE, GET, PAGE, SOONEST, COUNT, DIGEST,
)  # fmt: skip
from poolq.engines.sql.session import BatchQuery, Query, Row, Session, Transaction, in_chunks
from poolq.engines.sql.wakeups import ADD_QUEUE
from poolq.jobs.message import Push
from poolq.jobs.ties import TiedPush

T = TypeVar("T")
#: Stores jobs with unique keys. Returns by id which job has each job's key, if that is decided.
PushTied = Callable[[Transaction, Sequence[TiedPush]], dict[str, str]]


class SQLSchedules(ScheduleStore):
    """`session` returns this thread's connection."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session
        self._known_queues: set[str] = set()  # as for the sessions' `push`

    def digest(self, node: str) -> str:
        (found,) = self._session().read(Query(DIGEST, (node,)))
        return to_text(found.rows[0][0]) if found.rows else ""

    def declare(
        self, node: str, digest: str, schedules: Sequence[NewSchedule], generation: int = 0
    ) -> list[str]:
        def change(work: Callable[[Transaction], T]) -> T | None:
            """Do this if no later generation has declared anything."""

            def act(tx: Transaction) -> T | None:
                _, found = tx.run(Query(LOCK_DECLARATIONS), Query(DIGEST, (node,)))
                later = found.rows and number(blob(found.rows[0][1])) > generation
                return None if later else work(tx)

            return self._change(act)

        def set_digest(tx: Transaction, digest: str) -> None:
            tx.later(Query(DECLARE, (node, "", digest, 0, b"%d" % generation)))

        change(partial(set_digest, digest=""))
        taken: list[str] = []
        for some in in_chunks(sorted(schedules), DECLARED_AT_ONCE):
            became = change(partial(_declare, node=node, schedules=some))
            taken += became[1] if became else []
        names = {one.name for one in schedules}
        (own,) = self._session().read(Query(OWN, (node,)))
        gone = sorted({to_text(name) for name, _ in own.rows} - names - {""})
        for few in in_chunks(gone):
            change(partial(_undeclare, node=node, names=few))
        change(_forget)
        change(partial(set_digest, digest=digest))
        return taken

    def enact(self, node: str, pending: Sequence[NewSchedule]) -> list[str]:
        def work(tx: Transaction) -> list[str]:
            _, own = tx.run(Query(LOCK_DECLARATIONS), Query(OWN, (node,)))
            still = {(to_text(name), to_text(hash_)) for name, hash_ in own.rows}
            return _declare(tx, node, [one for one in pending if (one.name, one.hash) in still])[0]

        return self._change(work)

    def look(self, node: str, max_count: int, *, full: bool = True) -> Look:
        more = [Query(DUE_ELSEWHERE, (node,)), Query(PENDING, (node, max_count))] if full else []
        clock, due, next_, *rest = self._session().read(
            SERVER_CLOCK, Query(DUE, (node, max_count)), Query(NEXT), *more
        )
        elsewhere, pending = (one.rows for one in rest) if full else ((), ())
        if elsewhere:
            aside = BatchQuery(SET_ASIDE, elsewhere)
            self._change(lambda tx: tx.run(Query(LOCK_DECLARATIONS), aside))
        unreadable = self._set_unreadable_aside(node, due.rows, pending)
        later = [number(at) for (at,) in next_.rows if number(at) != NEVER]
        return Look(
            number(clock.rows[0][0]),
            [Scheduled.read(row) for row in due.rows if not is_unreadable(row)],
            [
                NewSchedule(to_text(n), to_text(h), blob(s), 0)
                for n, h, s in pending
                if not is_unreadable_declaration(n, h, s)
            ],
            later[0] if later else None,
            bool(due.rows or next_.rows or elsewhere),
            unreadable,
        )

    def _set_unreadable_aside(
        self, node: str, due: Sequence[Row], pending: Sequence[Row]
    ) -> list[str]:
        """Set aside what is unreadable of these rows. Returns the names."""
        names = [row[0] for row in due if is_unreadable(row)]
        declared = [row[0] for row in pending if is_unreadable_declaration(*row)]
        if names or declared:
            aside = BatchQuery(SET_UNREADABLE_ASIDE, [(name,) for name in names])
            skipped = BatchQuery(SKIP_UNREADABLE, [(node, name) for name in declared])
            self._change(lambda tx: tx.later(aside, skipped))
        return [to_text(name) for name in [*names, *declared]]

    def tick(self, ticks: Sequence[Tick]) -> list[TickEnd]:
        queues = {push.queue for one in ticks for push in one.pushes} - self._known_queues
        if queues:
            add = [Query(ADD_QUEUE, (queue,)) for queue in sorted(queues)]
            self._change(lambda tx: tx.later(*add))
            self._known_queues |= queues
        ends = self._change(lambda tx: _tick(tx, ticks, _push_all))
        return [end or self._tick_contested(one) for end, one in zip(ends, ticks, strict=True)]

    def _tick_contested(self, tick: Tick) -> TickEnd:
        while True:
            (end,) = self._change(lambda tx: _tick(tx, [tick], _push_contested))
            if end is not None:
                return end

    def put(self, schedule: NewSchedule) -> PutEnd:
        def work(tx: Transaction) -> PutEnd:
            _, found, rivals = tx.run(*_known(schedule.name))
            known = Scheduled.read(found.rows[0]) if found.rows else None
            if known and known.declared and rivals.rows:
                return "declared"
            if known and known.hash == schedule.hash and not known.declared:
                return "same"
            _put(tx, schedule, declared=False)
            return "replaced" if known else "added"

        return self._change(work)

    def remove(self, name: str) -> RemoveEnd:
        def work(tx: Transaction) -> RemoveEnd:
            _, found, rivals = tx.run(*_known(name))
            if not found.rows:
                return "unknown"
            if Scheduled.read(found.rows[0]).declared and rivals.rows:
                return "declared"
            tx.later(Query(REMOVE, (name,)))
            return "removed"

        return self._change(work)

    def pause(self, name: str) -> bool:
        def work(tx: Transaction) -> bool:
            (found, _) = tx.run(Query(GET, (name,)), Query(PAUSE, (name,)))
            return bool(found.rows)

        return self._change(work)

    def resume(self, name: str, due: int) -> bool:
        return self._change(lambda tx: tx.run(Query(RESUME, (due, due, name)))[0].changed > 0)

    def get(self, name: str) -> Scheduled | None:
        (found,) = self._session().read(Query(GET, (name,)))
        return Scheduled.read(found.rows[0]) if found.rows else None

    def all(self) -> list[Scheduled]:
        found: list[Scheduled] = []
        after: object = ""  # as it is stored
        while True:
            (some,) = self._session().read(Query(PAGE, (after,)))
            if not some.rows:
                return found
            found += [Scheduled.read(row) for row in some.rows]
            after = some.rows[-1][0]

    def soonest(self, max_count: int) -> list[Scheduled]:
        (found,) = self._session().read(Query(SOONEST, (max_count,)))
        return [Scheduled.read(row) for row in found.rows]

    def count(self) -> int:
        return number(self._session().read(Query(COUNT))[0].rows[0][0])

    def _change(self, work: Callable[[Transaction], T]) -> T:
        return self._session().transact(work)


def _known(name: str) -> list[Query]:
    """Lock what is declared, and read the schedule of this name, and which nodes declare it."""
    return [Query(LOCK_DECLARATIONS), Query(GET, (name,)), Query(RIVALS, ("", [name]))]


def _put(tx: Transaction, one: NewSchedule, *, declared: bool) -> None:
    tx.later(Query(PUT, (one.name, one.hash, one.spec, one.due, one.due, int(declared))))


def _declare(
    tx: Transaction, node: str, schedules: Sequence[NewSchedule]
) -> tuple[list[str], list[str]]:
    """Declare schedules, after LOCK_DECLARATIONS. Returns the names of those that are now stored,
    and those that people have given to other schedules."""
    names = [one.name for one in schedules]
    if not names:
        return [], []
    found, rivals = tx.run(Query(STORED, (names,)), Query(RIVALS, (node, names)))
    stored = {to_text(row[0]): row for row in found.rows}
    elsewhere: dict[str, set[str]] = defaultdict(set)
    for name, hash_ in rivals.rows:
        elsewhere[to_text(name)].add(to_text(hash_))
    enacted, taken, woken = [], [], []
    for one in schedules:
        _, hash_, declared, due, at, paused, now = stored.get(one.name, (None, "", 1, 0, 0, 0, 0))
        pending = False
        if one.name not in stored:
            _put(tx, one, declared=True)
            enacted.append(one.name)
        elif not declared:
            taken.append(one.name)
            pending = True
        elif to_text(hash_) == one.hash:
            enacted.append(one.name)
            if number(at) == NEVER:
                woken.append(one.name)
        elif to_text(hash_) in elsewhere[one.name]:
            pending = True
        else:
            is_waiting = to_text(hash_) != REMOVED and not paused and number(due) <= now
            _put(tx, one._replace(due=number(due)) if is_waiting else one, declared=True)
            enacted.append(one.name)
        row = (node, one.name, one.hash, int(pending), one.spec if pending else b"")
        tx.later(Query(DECLARE, row))
    if woken:
        tx.later(Query(WAKE_UP, (woken,)))
    return enacted, taken


def _forget(tx: Transaction) -> None:
    tx.later(Query(MARK_PAUSED_REMOVED), Query(FORGET))


def _undeclare(tx: Transaction, node: str, names: Sequence[str]) -> None:
    tx.later(Query(UNDECLARE, (node, names)), Query(MARK_REMOVED, (names,)))


def _tick(tx: Transaction, ticks: Sequence[Tick], push: PushTied) -> list[TickEnd | None]:
    """Advance schedules. They are locked in the order of their names, like everywhere. `push`
    stores jobs with unique keys. Returns None for a tick whose job is not decided yet, which
    changes nothing."""
    order = sorted(range(len(ticks)), key=lambda index: ticks[index].name)
    found = tx.run(*(Query(LOCK_SCHEDULE, (ticks[index].name,)) for index in order))
    current: dict[int, tuple[Scheduled, int]] = {}
    for index, result in zip(order, found, strict=True):
        if result.rows:
            *columns, now = result.rows[0]
            one = Scheduled.read(tuple(columns))
            if _is_current(one, ticks[index], number(now)):
                current[index] = one, number(now)
    unfinished = _unfinished(tx, (
        one.job for index, (one, _) in current.items() if ticks[index].overlap != "allow"
    ))  # fmt: skip
    ends: list[TickEnd | None] = ["lost"] * len(ticks)
    held = {index for index, (one, _) in current.items() if one.job in unfinished}
    decided = push(tx, [
        TiedPush(job, ticks[index].unique)
        for index in current if ticks[index].unique and index not in held
        for job in ticks[index].pushes
    ])  # fmt: skip
    for index, (one, now) in current.items():
        tick = ticks[index]
        if tick.unique is None or not tick.pushes or index in held:
            ends[index] = _advance(tx, one, tick, now, index in held)
            continue
        (job,) = tick.pushes
        if (holder := decided.get(job.id)) is None:
            ends[index] = None
        else:
            ends[index] = _advance_stored(tx, one, tick, holder == job.id)
    return ends


def _push_all(tx: Transaction, pushes: Sequence[TiedPush]) -> dict[str, str]:
    """Store those of these jobs whose keys are free. Returns by id which job has each job's key, if
    that is decided."""
    return ties.push(tx, pushes)[0] if pushes else {}


def _push_contested(tx: Transaction, pushes: Sequence[TiedPush]) -> dict[str, str]:
    """Do the same for a single job that `_push_all` has left undecided."""
    found: dict[str, str] = {}
    for one in pushes:
        if one.unique is not None and (holder := push_contested(tx, one, one.unique)):
            found[one.push.id] = holder
    return found


def _advance_stored(tx: Transaction, one: Scheduled, tick: Tick, stored: bool) -> TickEnd:
    """Advance a schedule whose job is stored already, or has given way to another."""
    last, job = (tick.last, tick.pushes[-1].id) if stored else (one.last, one.job)
    counted = int(stored), int(not stored) + tick.left_out
    tx.later(Query(ADVANCE, (tick.due, tick.at or tick.due, last, job, *counted, one.name)))
    return "stored" if stored else "skipped"


def _is_current(one: Scheduled, tick: Tick, now: int) -> bool:
    same = one.hash == tick.hash and one.due == tick.expected
    return same and not one.paused and one.at <= now


def _unfinished(tx: Transaction, jobs: Iterable[str]) -> set[str]:
    known = sorted({job for job in jobs if job})
    parts = in_chunks(known)
    return {to_text(id_) for some in parts for (id_,) in tx.run(Query(UNFINISHED, (some,)))[0].rows}


def _advance(tx: Transaction, one: Scheduled, tick: Tick, now: int, unfinished: bool) -> TickEnd:
    held = unfinished and bool(tick.pushes)
    if held and tick.overlap == "buffer":
        tx.later(Query(WAIT, (now + BUFFER_INTERVAL, one.name)))
        return "waiting"
    stores = bool(tick.pushes) and not (held and tick.overlap == "skip")
    last, job = (tick.last, tick.pushes[-1].id) if stores else (one.last, one.job)
    counted = (len(tick.pushes) if stores else 0), int(held) + tick.left_out
    tx.later(Query(ADVANCE, (tick.due, tick.at or tick.due, last, job, *counted, one.name)))
    if stores:
        tx.later(*(_store(push, now) for push in tick.pushes))
    return "stored" if stores or not held else "skipped"


def _store(push: Push, now: int) -> Query:
    place, due = (DELAYED, push.at) if push.at > now else (QUEUED, now)
    expires_at = due + push.expires if push.expires else None
    return Query(STORE_JOB, (push.id, place, push.queue, due, expires_at, push.body))
