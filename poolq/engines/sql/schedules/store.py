"""Schedules on an SQL database (see `engines/schedule_store.py`).

A transaction that changes what is declared, or depends on what is not declared, first locks the row
of `schema`. So two declarations of one name do not overlap. `look` does not set aside a schedule
that is being declared. A tick locks only its schedule, and skips it if another keeper has locked
it.
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
            _, declared, declared_names = tx.run(
                Query(LOCK_DECLARATIONS), Query(DECLARED, (node,)), Query(NAMES, (node,))
            )
            if _declared(declared) > deploy:
                return []
            gone = {to_text(name) for (name,) in declared_names.rows} - {
                schedule.name for schedule in schedules
            }
            tx.later(Query(DECLARE, (node, "", deploy)))
            taken_names: list[str] = []
            for chunk in in_chunks(sorted(schedules)):
                taken_names += _declare(tx, node, deploy, chunk)
            for names in in_chunks(sorted(gone)):
                tx.later(Query(UNDECLARE, (node, names)), Query(MARK_REMOVED, (names,)))
            tx.later(Query(MARK_PAUSED_REMOVED), Query(FORGET))
            return taken_names

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
        later = [number(time) for (time,) in next_.rows if number(time) != NEVER]
        return Look(
            number(clock.rows[0][0]),
            good,
            later[0] if later else None,
            any=bool(due.rows or next_.rows),
            more=len(due.rows) == max_count,
            unreadable=[to_text(name) for name in odd],
        )

    def tick(self, ticks: Sequence[Tick]) -> list[TickEnd]:
        add_queues(self._session(), {push.queue for tick in ticks for push in tick.pushes})
        return list(map(self._tick, ticks))

    def _tick(self, tick: Tick) -> TickEnd:
        end = None
        while end is None:
            end = self._change(partial(_tick, tick=tick))
        return end

    def put(self, schedule: NewSchedule) -> PutEnd:
        def work(tx: Transaction) -> PutEnd:
            scheduled, living = _known(tx, schedule.name)
            if scheduled and scheduled.declared and living:
                return "declared"
            if scheduled and scheduled.hash == schedule.hash and not scheduled.declared:
                return "same"
            _put(tx, schedule, declared=False)
            return "replaced" if scheduled else "added"

        return self._change(work)

    def remove(self, name: str) -> RemoveEnd:
        def work(tx: Transaction) -> RemoveEnd:
            scheduled, living = _known(tx, name)
            if scheduled is None:
                return "unknown"
            if scheduled.declared and living:
                return "declared"
            (hidden,) = tx.run(Query(HIDDEN, (name,)))
            tx.later(Query(REMOVE, (name,)))
            stored, deploy = hidden.rows[0]
            hash_, _, spec = blob(stored).partition(b"\n")
            if living and not is_unreadable_declaration(name, hash_, spec):
                _put(tx, NewSchedule(name, to_text(hash_), spec, 0), number(deploy))
            return "removed"

        return self._change(work)

    def pause(self, name: str) -> bool:
        def work(tx: Transaction) -> bool:
            (answer, _) = tx.run(Query(GET, (name,)), Query(PAUSE, (name,)))
            return bool(answer.rows)

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


def _declared(result: QueryResult) -> int:
    return number(result.rows[0][0]) if result.rows else 0


def _known(tx: Transaction, name: str) -> tuple[Scheduled | None, bool]:
    """Lock what is declared. Returns the schedule of this name, and whether a living node declares
    such a schedule."""
    asked = Query(LOCK_DECLARATIONS), Query(GET, (name,)), Query(LIVING, (name,))
    _, answer, living = tx.run(*asked)
    return Scheduled.read(answer.rows[0]) if answer.rows else None, bool(living.rows)


def _put(tx: Transaction, schedule: NewSchedule, deploy: int = 0, *, declared: bool = True) -> None:
    row = (
        schedule.name,
        schedule.hash,
        schedule.spec,
        schedule.due,
        schedule.due,
        int(declared),
        deploy,
    )
    tx.later(Query(PUT, row))


def _declare(
    tx: Transaction, node: str, deploy: int, schedules: Sequence[NewSchedule]
) -> list[str]:
    """Declare schedules. Returns the names that people have given to other schedules."""
    (answer,) = tx.run(Query(STORED, ([schedule.name for schedule in schedules],)))
    stored = {to_text(row[0]): row for row in answer.rows}
    tx.later(BatchQuery(DECLARE, [(node, schedule.name, deploy) for schedule in schedules]))
    taken_names, unchanged = [], []
    for schedule in schedules:
        _, hash_, declared, due, paused, stored_deploy, now = stored.get(
            schedule.name, (None, "", 1, 0, 0, 0, 0)
        )
        if not declared:
            taken_names.append(schedule.name)
            hidden = schedule.hash.encode() + b"\n" + schedule.spec
            tx.later(Query(HIDE, (hidden, deploy, schedule.name, deploy)))
        elif number(stored_deploy) > deploy:
            continue
        elif to_text(hash_) == schedule.hash:
            unchanged.append((deploy, schedule.name))
        else:
            is_waiting = to_text(hash_) not in ("", REMOVED) and not paused and number(due) <= now
            _put(tx, schedule._replace(due=number(due)) if is_waiting else schedule, deploy)
    tx.later(BatchQuery(KEEP, unchanged))
    return taken_names


def _tick(tx: Transaction, tick: Tick) -> TickEnd | None:
    """Advance a schedule. Returns None if nothing was changed and the tick is to be repeated."""
    row = tx.one(LOCK_SCHEDULE, tick.name)
    if row is None:
        return "lost"
    scheduled, now = Scheduled.read(row[:-1]), number(row[-1])
    is_current = scheduled.hash == tick.hash and scheduled.due == tick.expected
    if not is_current or scheduled.paused or scheduled.at > now:
        return "lost"
    waits = bool(tick.pushes) and tick.overlap != "allow"
    held = waits and tx.one(UNFINISHED, scheduled.job) is not None
    stored = [] if held else tick.pushes
    if stored and stored[0].unique:
        (job,) = stored
        holder = store_contested(tx, job)
        if holder is None:
            return None
        stored = stored if holder == job.id else []
    else:
        tx.later(BatchQuery(INSERT_JOB, [job_row(tx, push) for push in stored]))
        tx.tell(sorted({push.queue for push in stored}))
    return _advance(tx, scheduled, tick, stored, now, held)


def _advance(
    tx: Transaction, scheduled: Scheduled, tick: Tick, stored: Sequence[Push], now: int, held: bool
) -> TickEnd:
    """Advance a schedule. `stored`: its new jobs. `held`: its previous job is unfinished."""
    if held and tick.overlap == "buffer":
        tx.later(Query(WAIT, (now + BUFFER_INTERVAL, scheduled.name)))
        return "waiting"
    skipped = bool(tick.pushes) and not stored
    last, job = (tick.last, stored[-1].id) if stored else (scheduled.last, scheduled.job)
    counted = len(stored), int(skipped) + tick.left_out
    tx.later(Query(ADVANCE, (tick.due, tick.at or tick.due, last, job, *counted, scheduled.name)))
    return "skipped" if skipped else "stored"
