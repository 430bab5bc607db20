"""Hands out parked jobs: takes a slot for the first job of a line, if all of its limits allow it.

`parking.py` has the lines. A step locks those that are due, and calls `grant` before it claims
other jobs of the queue. A job that another of its limits holds back moves to the line of that
limit, so that it does not block the jobs behind it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from poolq.engines import sanitize
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql import gates, holds
from poolq.engines.sql.gates import LockedGates, lock_gates
from poolq.engines.sql.holds import STILL_HELD, is_hold_line, key_at, read_holds

from poolq.engines.sql.limit_windows import (  # isort: skip
    SERVER_CLOCK, LockedWindows, lock_windows, save_windows, window_name,
)  # fmt: skip
from poolq.engines.sql.location import is_gate_line, limit_at, line_of
from poolq.engines.sql.parking import DELETE_LINE, MOVE_JOB, SET_SLOT, Line, open_line
from poolq.engines.sql.session import Query, QueryResult, Row, Transaction
from poolq.jobs.limits import GATE_WAIT, Admission, Asked, Gate, Rule, gates_of, windows_of

#: How many due lines with parked jobs a step checks for a free slot, and how many of a line's first
#: jobs for one that no other limit holds back.
MAX_TRIED = 3
#: What few jobs have, in one column, because reading a column costs a worker some 2 % of its time:
#: until when a slot lasts, when the job expires, and its ties. NULL for all other jobs.
RARE = """CASE WHEN lasts > 0 OR expires_at > 0 OR ties IS NOT NULL
    THEN {joined:lasts, expires_at, ties} END"""
LOCK_HEADS = f"""SELECT id, body, attempt, crashes, failing, history, {RARE}, due_at, deploy, rules
    FROM {{jobs}}
    WHERE place = ? AND queue = ? ORDER BY due_at, id LIMIT {MAX_TRIED} {{lock}}"""
RARE_COLUMN, DUE_COLUMN, DEPLOY_COLUMN = 6, 7, 8
LINE_LIMIT = "SELECT most FROM {lines} WHERE place = ? AND queue = ?"
RESERVE_SLOT = "UPDATE {jobs} SET lasts = ? WHERE id = ?"


class Rare(NamedTuple):
    """See RARE; 0 or empty if a job has none."""

    lasts: int
    expires_at: int
    ties: bytes


def read_rare(stored: object) -> Rare:
    """Decode the column RARE."""
    if stored is None:
        return Rare(0, 0, b"")
    lasts, expires_at, ties = sanitize.blob(stored).split(b" ", 2)
    return Rare(number(lasts), number(expires_at), ties)


class Grant(NamedTuple):
    """A job taken from a line, as a row of CLAIM_READY. It has a slot (`granted`), or is to
    ask for one (`asks`), has expired, or has waited for a hold alone. `gates`: if its rules include
    gates, those gates, whose slots the step takes for the job once it is claimed. `rules`: its
    rules."""

    row: Row
    granted: bool = False
    asks: bool = False
    gates: LockedGates | None = None
    rules: Sequence[Asked] = ()


def grant(
    tx: Transaction,
    queue: str,
    now: int,
    deploy: int,
    lines: Iterable[Line],
    oldest: int | None = None,
) -> Grant | int | None:
    """Take a slot for the first job of one of the queue's lines of parked jobs. A job that another
    of its limits holds back moves to the line of that limit. A line without a free slot records
    when to try it again. A job that has expired at the time `now` gets no slot. Claiming the job is
    left to the step. If its limits were named by older code than that of `deploy`, it asks for a
    start itself. `lines`: locked lines. `oldest`: when the first of the queue's other jobs was due.
    Jobs that are later get no slot; if there are only such jobs, the first of their due times is
    returned."""
    job: Grant | int | None
    first: int | None = None
    for line in lines:
        if is_hold_line(line[0]):
            job = _grant_after_hold(tx, queue, line[0])
        else:
            job = _grant_from(tx, queue, line, now, deploy, oldest)
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
    oldest: int | None,
) -> Grant | int | None:
    place, most, named_by = of
    line = place, queue
    (heads,) = tx.run(Query(LOCK_HEADS, line))
    if not heads.rows:
        tx.later(Query(DELETE_LINE, line))
        return None
    if oldest is not None:
        if (since := number(heads.rows[0][DUE_COLUMN])) > oldest:
            return since
        heads = QueryResult([row for row in heads.rows if number(row[DUE_COLUMN]) <= oldest], 0)
    for row in heads.rows:
        if 0 < read_rare(row[RARE_COLUMN]).expires_at <= now:
            return Grant(row[:DEPLOY_COLUMN])
    if sanitize.rules(heads.rows[0][-1]) is None:
        return _unreadable(heads.rows[0])
    read = [(row, sanitize.rules(row[-1])) for row in heads.rows]
    found = [(row, mine) for row, mine in read if mine]  # unreadable ones wait to be first
    stored = [mine for _, mine in found]
    stamp = number(heads.rows[0][DEPLOY_COLUMN])
    if named_by < deploy or (stamp < deploy and len(stored[0]) > 1):
        return Grant(heads.rows[0][:DEPLOY_COLUMN], asks=True)
    every = {rule for rules in stored for rule in rules}
    others = {line_of(rule) for rule in every} - {place}
    limits = _line_limits(tx, queue, others)
    limits[place] = most
    named = (
        [rule._replace(limit=limits.get(line_of(rule), rule.limit)) for rule in rules]
        for rules in stored
    )
    jobs = [(row[: DEPLOY_COLUMN + 1], rules) for (row, _), rules in zip(found, named, strict=True)]
    asked = {rule for _, rules in jobs for rule in gates_of(rules)}
    windows = {rule for _, rules in jobs for rule in windows_of(rules)}
    keys, locked, known = sorted({rule.key for rule in every}), None, list[QueryResult]()
    if asked:
        last = [] if windows else [SERVER_CLOCK, holds.holds_query(keys)]
        locked, known = lock_gates(tx, asked, *last)
    counters = lock_windows(tx, windows, keys=keys, found=known)
    assert counters is not None  # SERVER_CLOCK always has a row
    return _grant_first(tx, line, jobs, counters, locked)


def _grant_first(
    tx: Transaction,
    line: tuple[str, str],
    jobs: Sequence[tuple[Row, Sequence[Asked]]],
    counters: LockedWindows,
    locked: LockedGates | None,
) -> Grant | None:
    """Take a slot for the first of these heads of a line, each with its rules, that may start."""
    place, queue = line
    for job, named_rules in jobs:
        held = holds.refusal(named_rules, counters.holds, counters.now)
        if held is not None:
            rule = named_rules[held.rule]
            if _wait_for_hold(tx, place, queue, job, rule, held.until):
                return None
            continue
        rules = [counters.overridden(r) if isinstance(r, Rule) else r for r in named_rules]
        mine = locked if locked and gates_of(rules) else None
        at = gates.refusing(mine, rules, to_text(job[0])) if mine else None
        admission = Admission(GATE_WAIT, at) if at is not None else _admit(counters, rules)
        if not admission.wait:
            save_windows(tx, counters)
            _set_slot(tx, place, queue, rules, counters)
            if mine is None:  # else it asks again if it is given back, as its gates then have ended
                ends = min(map(counters.slot_ends, windows_of(rules)))
                tx.later(Query(RESERVE_SLOT, (ends, job[0])))
            return Grant(job[:DEPLOY_COLUMN], granted=True, gates=mine, rules=rules)
        refusing = rules[admission.rule]
        if line_of(refusing) == place:
            if not isinstance(refusing, Gate):
                tx.later(Query(SET_SLOT, (admission.until, place, queue)))
            return None
        open_line(tx, line_of(refusing), queue, refusing, number(job[DEPLOY_COLUMN]))
        tx.later(Query(MOVE_JOB, (line_of(refusing), job[0])))
    return None


def _wait_for_hold(
    tx: Transaction, place: str, queue: str, job: Row, rule: Asked, until: int
) -> bool:
    """Let a head wait for the hold of the rule's key. Returns whether its line waits, because it is
    one of a window with this key. A line of a gate is due while the gate has room, so its job
    moves to the hold's own line."""
    if rule.key == limit_at(place) and not is_gate_line(place):
        tx.later(Query(SET_SLOT, (until, place, queue)))
        return True
    if isinstance(rule, Gate):
        holds.move_to_line(tx, queue, rule.key, to_text(job[0]))
    else:
        open_line(tx, line_of(rule), queue, rule, number(job[DEPLOY_COLUMN]))
        tx.later(Query(MOVE_JOB, (line_of(rule), job[0])))
    return False


def _admit(counters: LockedWindows, rules: Sequence[Asked]) -> Admission:
    """Take one start of each window, or none at all."""
    windows = windows_of(rules)
    admission = counters.admit(windows)
    return (
        admission._replace(rule=rules.index(windows[admission.rule]))
        if admission.wait
        else admission
    )


def _grant_after_hold(tx: Transaction, queue: str, place: str) -> Grant | None:
    """Take the head of a hold's own line, once the key is no longer held. The job has no slots, as
    it asks its code for its limits when it starts."""
    key = key_at(place)
    heads, found = tx.run(Query(LOCK_HEADS, (place, queue)), Query(STILL_HELD, (key,)))
    held = read_holds(found)
    if not heads.rows:
        tx.later(Query(DELETE_LINE, (place, queue)))
        return None
    if key in held:
        tx.later(Query(SET_SLOT, (held[key], place, queue)))
        return None
    return Grant(heads.rows[0][:DEPLOY_COLUMN])


def _unreadable(row: Row) -> Grant:
    """Return a job whose rules cannot be read, which leaves its line without a slot."""
    id_, _, *rest, _, stored = row
    return Grant((id_, sanitize.unreadable_body("rules", stored), *rest), granted=True)


def _line_limits(tx: Transaction, queue: str, places: Collection[str]) -> dict[str, int]:
    """Return the limits that were last named for these lines of the queue."""
    found = tx.run(*(Query(LINE_LIMIT, (one, queue)) for one in places))
    pairs = zip(places, found, strict=True)
    return {place: number(result.rows[0][0]) for place, result in pairs if result.rows}


def _set_slot(
    tx: Transaction, place: str, queue: str, rules: Sequence[Asked], counters: LockedWindows
) -> None:
    """Let the line wait for its next turn or, if the start just taken was the window's last, for
    the window's end."""
    if is_gate_line(place):
        tx.later(Query(gates.SERVED, (place, queue)))
        return
    slot = counters.now
    for rule in windows_of(rules):
        if line_of(rule) == place:
            log = counters[window_name(rule)]
            is_full = sum(cost for _, cost in log) >= rule.limit
            slot = log[0][0] + rule.window if is_full else slot
    tx.later(Query(SET_SLOT, (slot, place, queue)))
