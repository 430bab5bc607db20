"""Schedules on an SQL database (see `engines/schedule_store.py`).

A transaction that changes what is declared, or depends on what is not declared, first locks the row
of `schema`. So two declarations of one name do not overlap, and `look` sets no schedule aside that
is being declared. A tick locks only its schedule, and skips it if another keeper has it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from poolq.engines.sanitize import blob, number, to_text
from poolq.engines.schedule_store import (
    BUFFER_INTERVAL,
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
from poolq.engines.sql.limits.limit_windows import SERVER_CLOCK
from poolq.engines.sql.new_jobs import INSERT_JOB, job_row, store_contested
from poolq.engines.sql.queues.wakeups import add_queues

from poolq.engines.sql.schedules.statements import (  # isort: skip
    DUE, NEXT, SET_ASIDE, SET_UNREADABLE_ASIDE, MARK_REMOVED, MARK_PAUSED_REMOVED, FORGET,
    LOCK_DECLARATIONS, STORED, LIVING, NAMES, DECLARE, UNDECLARE, PUT, KEEP, HIDE, HIDDEN,
    LOCK_SCHEDULE, UNFINISHED, ADVANCE, WAIT, PAUSE, RESUME, REMOVE, GET, ALL, SOONEST,
    DECLARED,
)  # fmt: skip
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    Session,
    Transaction,
    in_chunks,
)
from poolq.jobs.message import Push

T = TypeVar("T")


class SQLSchedules(ScheduleStore):
    """`session` returns this thread's connection."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    def declared(self, node: str) -> int:
        return _declared(self._session().read(Query(DECLARED, (node,)))[0])

    def declare(self, node: str, deploy: int, schedules: Sequence[NewSchedule]) -> list[str]:
        def work(tx: Transaction) -> list[str]:
            _, found, own = tx.run(
                Query(LOCK_DECLARATIONS), Query(DECLARED, (node,)), Query(NAMES, (node,))
            )
            if _declared(found) > deploy:
                return []
            gone = {to_text(name) for (name,) in own.rows} - {one.name for one in schedules}
            tx.later(Query(DECLARE, (node, "", deploy)))
            taken: list[str] = []
            for some in in_chunks(sorted(schedules)):
                taken += _declare(tx, node, deploy, some)
            for names in in_chunks(sorted(gone)):
                tx.later(Query(UNDECLARE, (node, names)), Query(MARK_REMOVED, (names,)))
            tx.later(Query(MARK_PAUSED_REMOVED), Query(FORGET))
            return taken

        return self._change(work)

    def look(self, max_count: int) -> Look:
        clock, due, next_ = self._session().read(
            SERVER_CLOCK, Query(DUE, (max_count,)), Query(NEXT)
        )
        odd, gone, good = [], [], []
        for *row, counts in due.rows:
            if is_unreadable(row):
                odd.append(row[0])
            elif counts:
                good.append(Scheduled.read(row))
            else:
                gone.append(row[0])
        if odd or gone:
            aside = (
                BatchQuery(SET_UNREADABLE_ASIDE, [(name,) for name in odd]),
                BatchQuery(SET_ASIDE, [(name,) for name in gone]),
            )
            self._change(lambda tx: tx.run(Query(LOCK_DECLARATIONS), *aside))
        later = [number(at) for (at,) in next_.rows if number(at) != NEVER]
        return Look(
            number(clock.rows[0][0]),
            good,
            later[0] if later else None,
            any=bool(due.rows or next_.rows),
            more=len(due.rows) == max_count,
            unreadable=[to_text(name) for name in odd],
        )

    def tick(self, ticks: Sequence[Tick]) -> list[TickEnd]:
        add_queues(self._session(), {push.queue for one in ticks for push in one.pushes})
        return list(map(self._tick, ticks))

    def _tick(self, tick: Tick) -> TickEnd:
        end = None
        while end is None:
            end = self._change(partial(_tick, tick=tick))
        return end

    def put(self, schedule: NewSchedule) -> PutEnd:
        def work(tx: Transaction) -> PutEnd:
            known, living = _known(tx, schedule.name)
            if known and known.declared and living:
                return "declared"
            if known and known.hash == schedule.hash and not known.declared:
                return "same"
            _put(tx, schedule, declared=False)
            return "replaced" if known else "added"

        return self._change(work)

    def remove(self, name: str) -> RemoveEnd:
        def work(tx: Transaction) -> RemoveEnd:
            known, living = _known(tx, name)
            if known is None:
                return "unknown"
            if known.declared and living:
                return "declared"
            (found,) = tx.run(Query(HIDDEN, (name,)))
            tx.later(Query(REMOVE, (name,)))
            stored, deploy = found.rows[0]
            hash_, _, spec = blob(stored).partition(b"\n")
            if living and not is_unreadable_declaration(name, hash_, spec):
                _put(tx, NewSchedule(name, to_text(hash_), spec, 0), number(deploy))
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
        return next(iter(self._read(GET, name)), None)

    def all(self) -> list[Scheduled]:
        return self._read(ALL)

    def soonest(self, max_count: int) -> list[Scheduled]:
        return self._read(SOONEST, max_count)

    def _read(self, sql: str, *args: object) -> list[Scheduled]:
        return list(map(Scheduled.read, self._session().read(Query(sql, args))[0].rows))

    def _change(self, work: Callable[[Transaction], T]) -> T:
        return self._session().transact(work)


def _declared(found: QueryResult) -> int:
    return number(found.rows[0][0]) if found.rows else 0


def _known(tx: Transaction, name: str) -> tuple[Scheduled | None, bool]:
    """Lock what is declared. Returns the schedule of this name, and whether a living node declares
    one."""
    asked = Query(LOCK_DECLARATIONS), Query(GET, (name,)), Query(LIVING, (name,))
    _, found, living = tx.run(*asked)
    return Scheduled.read(found.rows[0]) if found.rows else None, bool(living.rows)


def _put(tx: Transaction, one: NewSchedule, deploy: int = 0, *, declared: bool = True) -> None:
    row = (one.name, one.hash, one.spec, one.due, one.due, int(declared), deploy)
    tx.later(Query(PUT, row))


def _declare(
    tx: Transaction, node: str, deploy: int, schedules: Sequence[NewSchedule]
) -> list[str]:
    """Declare schedules. Returns the names that people have given to other schedules."""
    (found,) = tx.run(Query(STORED, ([one.name for one in schedules],)))
    stored = {to_text(row[0]): row for row in found.rows}
    tx.later(BatchQuery(DECLARE, [(node, one.name, deploy) for one in schedules]))
    taken, kept = [], []
    for one in schedules:
        _, hash_, declared, due, paused, by, now = stored.get(one.name, (None, "", 1, 0, 0, 0, 0))
        if not declared:
            taken.append(one.name)
            hidden = one.hash.encode() + b"\n" + one.spec
            tx.later(Query(HIDE, (hidden, deploy, one.name, deploy)))
        elif number(by) > deploy:
            continue
        elif to_text(hash_) == one.hash:
            kept.append((deploy, one.name))
        else:
            is_waiting = to_text(hash_) not in ("", REMOVED) and not paused and number(due) <= now
            _put(tx, one._replace(due=number(due)) if is_waiting else one, deploy)
    tx.later(BatchQuery(KEEP, kept))
    return taken


def _tick(tx: Transaction, tick: Tick) -> TickEnd | None:
    """Advance a schedule. Returns None if this has changed nothing and is to be repeated."""
    row = tx.one(LOCK_SCHEDULE, tick.name)
    if row is None:
        return "lost"
    one, now = Scheduled.read(row[:-1]), number(row[-1])
    same = one.hash == tick.hash and one.due == tick.expected
    if not same or one.paused or one.at > now:
        return "lost"
    waits = bool(tick.pushes) and tick.overlap != "allow"
    held = waits and tx.one(UNFINISHED, one.job) is not None
    stored = [] if held else tick.pushes
    if stored and stored[0].unique:
        (job,) = stored
        holder = store_contested(tx, job)
        if holder is None:
            return None
        stored = stored if holder == job.id else []
    else:
        tx.later(BatchQuery(INSERT_JOB, [job_row(tx, one) for one in stored]))
        tx.tell(sorted({one.queue for one in stored}))
    return _advance(tx, one, tick, stored, now, held)


def _advance(
    tx: Transaction, one: Scheduled, tick: Tick, stored: Sequence[Push], now: int, held: bool
) -> TickEnd:
    """Advance a schedule. `stored`: its new jobs. `held`: the previous job is unfinished."""
    if held and tick.overlap == "buffer":
        tx.later(Query(WAIT, (now + BUFFER_INTERVAL, one.name)))
        return "waiting"
    skipped = bool(tick.pushes) and not stored
    last, job = (tick.last, stored[-1].id) if stored else (one.last, one.job)
    counted = len(stored), int(skipped) + tick.left_out
    tx.later(Query(ADVANCE, (tick.due, tick.at or tick.due, last, job, *counted, one.name)))
    return "skipped" if skipped else "stored"
