"""Hands out parked jobs: takes slots for the first jobs of a line, if all of their limits allow it.

`parking.py` has the lines. A step locks those that are due, and calls `grant` before it claims
other jobs of the queue. A job that another of its limits holds back moves to the line of that
limit, so that it does not block the jobs behind it.

One step takes several jobs of a line, because its round trips cost more than the jobs. But it takes
only one job if its slot belongs to a gate or to a sliding window. Such a slot is of no use while a
job waits in the worker, and a start in a sliding window is lost if the job is given back.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, islice, takewhile
from typing import NamedTuple

from poolq.engines import sanitize
from poolq.engines.base import CLAIM_BYTES
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.limits import concurrent_slots
from poolq.engines.sql.limits.holds import HELD_UNTIL, PARK_HOLDER, is_hold_line
from poolq.engines.sql.limits.limit_windows import SKIP_WINDOW, is_sliding, window_name
from poolq.engines.sql.limits.locked_limits import LockedLimits, lock_limits
from poolq.engines.sql.limits.parking import (
    DELETE_LINE,
    MOVE_JOB,
    SET_SLOT,
    Line,
    open_hold_line,
    open_line,
)
from poolq.engines.sql.location import is_gate_line, limit_at, line_of
from poolq.engines.sql.session import Query, Row, Transaction
from poolq.jobs.limits import Admission, Asked, Gate, HeldKey, gates_of, windows_of

#: How many due lines of parked jobs a step checks for a free slot. In a line, the step checks this
#: many of the first jobs for one that no other limit holds back.
MAX_TRIED = 3
#: How many jobs of a line a step reads at first. It reads more if it may take all of these.
FIRST_READ = 50
#: Bodies of at most this many bytes are read with their jobs. CLAIM_BYTES has room for 512 of them.
SMALL_BODY_BYTES = CLAIM_BYTES // 512
SMALL_BODY = f"CASE WHEN LENGTH(body) <= {SMALL_BODY_BYTES} THEN body END"  # else NULL
#: Until when a slot lasts, when the job expires, and its effects. NULL for most jobs, which have
#: none of these. One column, because reading a column costs a worker some 2 % of its time.
RARE = """CASE WHEN lasts > 0 OR expires_at > 0 OR effects IS NOT NULL
    THEN {joined:lasts, expires_at, effects} END"""
LOCK_HEADS = f"""SELECT id, {SMALL_BODY}, attempt, crashes, failing, history, {RARE}, due_at,
    deploy, rules FROM {{jobs}}
    WHERE place = ? AND queue = ? ORDER BY due_at, {{ordering:id}} LIMIT ? {{lock}}"""
RARE_COLUMN, DUE_COLUMN, DEPLOY_COLUMN = 6, 7, 8
LINE_LIMIT = "SELECT most FROM {lines} WHERE place = ? AND queue = ?"
SKIP_LINE = LINE_LIMIT + " {skip}"
RESERVE_SLOTS = "UPDATE {jobs} SET lasts = ? WHERE id {in_list}"


class Rare(NamedTuple):
    """The values in the column RARE. A value that the job does not have is 0 or empty."""

    lasts: int
    expires_at: int
    effects: bytes


def read_rare(stored: object) -> Rare:
    """Decode the column RARE."""
    if stored is None:
        return Rare(0, 0, b"")
    lasts, expires_at, effects = sanitize.blob(stored).split(b" ", 2)
    return Rare(number(lasts), number(expires_at), effects)


class Grant(NamedTuple):
    """Jobs taken from a line, as rows of CLAIM_READY. `granted`: whether they have slots. If not,
    there is one job, which must ask for a slot (`asks`), has expired, or has waited only for a
    hold. `limits`: if the rules of the only job include gates, the limits from which the step takes
    slots once the job is claimed. `rules`: the rules of that job."""

    rows: Sequence[Row]
    granted: bool = False
    asks: bool = False
    limits: LockedLimits | None = None
    rules: Sequence[Asked] = ()


def grant(
    tx: Transaction,
    queue: str,
    now: int,
    deploy: int,
    want: int,
    lines: Iterable[Line],
    oldest: int | None = None,
) -> Grant | int | None:
    """Take slots for the first jobs of one of these lines, at most `want`. A job that another of
    its limits holds back moves to the line of that limit. A line without a free slot records when
    to try it again. A job that has expired at the time `now` gets no slot. The step then claims the
    jobs. If the limits of the first job were named by older code than that of `deploy`, this job
    asks for a start itself. `lines`: locked lines of parked jobs of the queue. `oldest`: when the
    first of the queue's other jobs was due. Parked jobs that were due later get no slot; if there
    are only such jobs, the first of their due times is returned."""
    job: Grant | int | None
    first: int | None = None
    for line in lines:
        if is_hold_line(line[0]):
            job = _grant_after_hold(tx, queue, line[0])
        else:
            job = _grant_from(tx, queue, line, now, deploy, want, oldest)
        if isinstance(job, int):
            first = job if first is None else min(first, job)
        elif job is not None:
            return job
    return first


def send_behind(tx: Transaction, queue: str, lines: Sequence[Line], now: int) -> None:
    """Let other lines be tried next."""
    tx.later(*(Query(SET_SLOT, (now, place, queue)) for place, *_ in lines))


def _grant_from(
    tx: Transaction,
    queue: str,
    of: Line,
    now: int,
    deploy: int,
    want: int,
    oldest: int | None,
) -> Grant | int | None:
    place, most, named_by = of
    line = place, queue
    rows = _lock_heads(tx, line, max(MAX_TRIED, min(want, most)))
    if not rows:
        tx.later(Query(DELETE_LINE, line))
        return None
    if oldest is not None:
        if (since := number(rows[0][DUE_COLUMN])) > oldest:
            return since
        rows = [row for row in rows if number(row[DUE_COLUMN]) <= oldest]
    for row in rows:
        if 0 < read_rare(row[RARE_COLUMN]).expires_at <= now:
            return Grant([row[:DEPLOY_COLUMN]])
    rules = sanitize.rules(rows[0][-1])
    if rules is None:
        return _unreadable(rows[0])
    stamp = number(rows[0][DEPLOY_COLUMN])
    if named_by < deploy or (stamp < deploy and len(rules) > 1):
        return Grant([rows[0][:DEPLOY_COLUMN]], asks=True)
    return _grant_heads(tx, line, most, _like_first(rows), want)


def _lock_heads(tx: Transaction, line: tuple[str, str], want: int) -> Sequence[Row]:
    """Lock the first jobs of a line, as many as the step wants if a step may take several."""
    (heads,) = tx.run(Query(LOCK_HEADS, (*line, min(want, FIRST_READ))))
    if want > FIRST_READ == len(heads.rows) == len(_like_first(heads.rows)):
        rules = sanitize.rules(heads.rows[0][-1])
        if rules and not gates_of(rules) and not any(rule.sliding for rule in windows_of(rules)):
            (heads,) = tx.run(Query(LOCK_HEADS, (*line, want)))
    return heads.rows


def _like_first(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the first MAX_TRIED heads of a line, and those behind them as long as they have the
    same rules as the first, named by the same code. So no step locks many windows."""
    its = rows[0][DEPLOY_COLUMN:]
    same = takewhile(
        lambda row: row[DEPLOY_COLUMN:] == its and row[1] is not None, rows[MAX_TRIED:]
    )
    return [*rows[:MAX_TRIED], *same]


def _grant_heads(
    tx: Transaction, line: tuple[str, str], most: int, rows: Sequence[Row], want: int
) -> Grant | None:
    """Take slots for the first of these heads of a line that may start."""
    place, queue = line
    read = [(row[: DEPLOY_COLUMN + 1], sanitize.rules(row[-1])) for row in rows]
    found = [(row, mine) for row, mine in read if mine]  # unreadable rules wait to be first
    every = {rule for _, rules in found for rule in rules}
    named = _line_limits(tx, queue, {line_of(rule) for rule in every} - {place})
    named[place] = most
    jobs = [
        (row, [rule._replace(limit=named.get(line_of(rule), rule.limit)) for rule in rules])
        for row, rules in found
    ]
    asked = {rule for _, rules in jobs for rule in rules}
    if tx.has_windows and False in tx.lock_free(SKIP_WINDOW, sorted(map(window_name, asked))):
        return None
    limits = lock_limits(tx, windows_of(asked), sorted(gates_of(asked)))
    assert limits is not None  # no claim asks
    sliding = any(is_sliding(name) for name in limits.starts)
    alone = limits.gates or sliding or any(row[1] is None for row, _ in jobs)
    granted = list(islice(_starts(tx, line, jobs, limits), 1 if alone else want))
    if not granted:
        return None
    limits.save_starts(tx)
    mine = granted[-1][1]
    _set_slot(tx, line, mine, limits)
    rows = [job[:DEPLOY_COLUMN] for job, _ in granted]
    if gates_of(mine):  # reserve nothing: slots of gates end if the job is given back
        return Grant(rows, granted=True, limits=limits, rules=mine)
    for ends, some in groupby(granted, lambda one: limits.slot_ends(one[1])):
        tx.later(Query(RESERVE_SLOTS, (ends, [job[0] for job, _ in some])))
    return Grant(rows, granted=True)


def _starts(
    tx: Transaction,
    line: tuple[str, str],
    jobs: Sequence[tuple[Row, Sequence[Asked]]],
    limits: LockedLimits,
) -> Iterator[tuple[Row, Sequence[Asked]]]:
    """Take slots for these heads of a line, one head after the other, as long as the line has room.
    Yields each head that has got its slots, with its rules."""
    for job, rules in jobs:
        admission = limits.admit(rules, to_text(job[0]))
        if not admission.wait:
            yield job, rules
        elif _waits_here(tx, line, rules[admission.rule], admission):
            return
        else:
            _move(tx, line[1], job, rules[admission.rule], held=admission.held)


def _waits_here(tx: Transaction, line: tuple[str, str], rule: Asked, admission: Admission) -> bool:
    """Return whether the whole line must wait. This is so for the line of the refusing rule and, if
    the rule's key is held, for the lines of all windows with this key. The line of a gate is due
    while the gate has room, so it waits for no hold."""
    place, _ = line
    is_gated = is_gate_line(place)
    mine = line_of(rule) == place
    if admission.held:
        mine = limit_at(place) == rule.key and not is_gated
    if mine and not is_gated:
        tx.later(Query(SET_SLOT, (admission.until, *line)))
    return mine


def _move(tx: Transaction, queue: str, job: Row, rule: Asked, *, held: bool) -> None:
    """Move a head to the line of the rule that has refused it; if a gate's key is `held`, to the
    hold's own line. If another step has locked that line, a later step moves the head."""
    to_hold = held and isinstance(rule, Gate)
    place = line_of(HeldKey(rule.key) if to_hold else rule)
    (is_mine,) = tx.lock_free(SKIP_LINE, [(place, queue)])
    if is_mine is False:
        return
    # Holds are locked before lines, so a hold is not locked here. `lift` would not find a line that
    # is made meanwhile, so the line heeds the hold once it is tried.
    if to_hold:
        opened, move = open_hold_line(queue, rule.key, heeds=False), PARK_HOLDER
    else:
        opened = open_line(queue, rule, number(job[DEPLOY_COLUMN]), heeds=bool(is_mine))
        move = MOVE_JOB
    tx.later(opened._replace(sql=opened.sql.replace("{share}", "")), Query(move, (place, job[0])))


def _grant_after_hold(tx: Transaction, queue: str, place: str) -> Grant | None:
    """Take the head of a hold's own line, once the key is no longer held. The job has no slots, as
    it asks its code for its limits when it starts."""
    heads, held = tx.run(
        Query(LOCK_HEADS, (place, queue, 1)), Query(HELD_UNTIL, (limit_at(place),))
    )
    if not heads.rows:
        tx.later(Query(DELETE_LINE, (place, queue)))
        return None
    if held.rows:
        tx.later(Query(SET_SLOT, (held.rows[0][0], place, queue)))
        return None
    return Grant([heads.rows[0][:DEPLOY_COLUMN]])


def _unreadable(row: Row) -> Grant:
    """Return a job whose rules cannot be read, which leaves its line without a slot."""
    id_, _, *rest, _, stored = row
    return Grant([(id_, sanitize.unreadable_body("rules", stored), *rest)], granted=True)


def _line_limits(tx: Transaction, queue: str, places: Collection[str]) -> dict[str, int]:
    """Return the limits that were last named for these lines of the queue."""
    found = tx.run(*(Query(LINE_LIMIT, (one, queue)) for one in places))
    pairs = zip(places, found, strict=True)
    return {place: number(result.rows[0][0]) for place, result in pairs if result.rows}


def _set_slot(
    tx: Transaction, line: tuple[str, str], rules: Sequence[Asked], limits: LockedLimits
) -> None:
    """Let the line wait for its next turn or, if the start just taken was the window's last, for
    the window's end."""
    place, _ = line
    if is_gate_line(place):
        tx.later(Query(concurrent_slots.SERVED, line))
        return
    slot = limits.now
    for rule in windows_of(rules):
        if line_of(rule) == place:
            log = limits.starts[window_name(rule)]
            is_full = sum(cost for _, cost in log) >= limits.overridden(rule).limit
            slot = log[0][0] + rule.window if is_full else slot
    tx.later(Query(SET_SLOT, (slot, *line)))
