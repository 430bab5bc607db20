"""Hands out parked jobs: takes slots for the first jobs of a line, if all of their limits allow it.

`parking.py` has the lines. A step locks those that are due, and calls `grant` before it claims
other jobs of the queue. A job that another of its limits holds back moves to the line of that
limit, so that it does not block the jobs behind it.

One step takes several jobs of a line, because its round trips cost more than the jobs. But it takes
only one whose slot is of no use while the job waits in the worker: a slot of a gate, or a start in
a sliding window, which is lost if the job is given back.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, islice, takewhile
from typing import NamedTuple

from poolq.engines import sanitize
from poolq.engines.base import CLAIM_BYTES
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.limits import concurrent_slots, holds
from poolq.engines.sql.limits.concurrent_slots import LockedGates, lock_gates
from poolq.engines.sql.limits.holds import STILL_HELD, is_hold_line, key_at, read_holds

from poolq.engines.sql.limits.limit_windows import (  # isort: skip
    SERVER_CLOCK, LockedWindows, lock_windows, save_windows, window_name,
)  # fmt: skip
from poolq.engines.sql.limits.parking import DELETE_LINE, MOVE_JOB, SET_SLOT, Line, open_line
from poolq.engines.sql.location import is_gate_line, limit_at, line_of
from poolq.engines.sql.session import Query, QueryResult, Row, Transaction
from poolq.jobs.limits import GATE_WAIT, Admission, Asked, Gate, Rule, gates_of, windows_of

#: How many due lines with parked jobs a step checks for a free slot, and how many of a line's first
#: jobs for one that no other limit holds back.
MAX_TRIED = 3
#: How many jobs of a line a step takes at most.
MAX_GRANTED = 50
#: Bodies of at most this many bytes are read with their jobs. CLAIM_BYTES has room for 512 of them.
SMALL_BODY_BYTES = CLAIM_BYTES // 512
SMALL_BODY = f"CASE WHEN LENGTH(body) <= {SMALL_BODY_BYTES} THEN body END"  # else NULL
#: What few jobs have, in one column, because reading a column costs a worker some 2 % of its time:
#: until when a slot lasts, when the job expires, and its ties. NULL for all other jobs.
RARE = """CASE WHEN lasts > 0 OR expires_at > 0 OR ties IS NOT NULL
    THEN {joined:lasts, expires_at, ties} END"""
LOCK_HEADS = f"""SELECT id, {SMALL_BODY}, attempt, crashes, failing, history, {RARE}, due_at,
    deploy, rules FROM {{jobs}}
    WHERE place = ? AND queue = ? ORDER BY due_at, id LIMIT ? {{lock}}"""
RARE_COLUMN, DUE_COLUMN, DEPLOY_COLUMN = 6, 7, 8
LINE_LIMIT = "SELECT most FROM {lines} WHERE place = ? AND queue = ?"
RESERVE_SLOTS = "UPDATE {jobs} SET lasts = ? WHERE id IN {list}"


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
    """Jobs taken from a line, as rows of CLAIM_READY. They have slots (`granted`), or the only one
    is to ask for a slot (`asks`), has expired, or has waited for a hold alone. `gates`: if its
    rules include gates, those gates, whose slots the step takes for the job once it is claimed.
    `rules`: its rules."""

    rows: Sequence[Row]
    granted: bool = False
    asks: bool = False
    gates: LockedGates | None = None
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
    """Take slots for the first jobs of one of the queue's lines of parked jobs, `want` at most. A
    job that another of its limits holds back moves to the line of that limit. A line without a free
    slot records when to try it again. A job that has expired at the time `now` gets no slot.
    Claiming the jobs is left to the step. If the limits of the first one were named by older code
    than that of `deploy`, it asks for a start itself. `lines`: locked lines. `oldest`: when the
    first of the queue's other jobs was due. Jobs that are later get no slot; if there are only such
    jobs, the first of their due times is returned."""
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
    (heads,) = tx.run(Query(LOCK_HEADS, (*line, max(MAX_TRIED, min(want, most)))))
    if not heads.rows:
        tx.later(Query(DELETE_LINE, line))
        return None
    rows = heads.rows
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


def _like_first(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the first heads of a line, and of those behind them the ones that have the same rules
    as the very first, named by the same code, so that no step locks many windows."""
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
    found = [(row, mine) for row, mine in read if mine]  # unreadable ones wait to be first
    every = {rule for _, rules in found for rule in rules}
    limits = _line_limits(tx, queue, {line_of(rule) for rule in every} - {place})
    limits[place] = most
    jobs = [
        (row, [rule._replace(limit=limits.get(line_of(rule), rule.limit)) for rule in rules])
        for row, rules in found
    ]
    asked = {rule for _, rules in jobs for rule in gates_of(rules)}
    windows = {rule for _, rules in jobs for rule in windows_of(rules)}
    keys, locked, known = sorted({rule.key for rule in every}), None, list[QueryResult]()
    if asked:
        last = [] if windows else [SERVER_CLOCK, holds.holds_query(keys)]
        locked, known = lock_gates(tx, asked, *last)
    counters = lock_windows(tx, windows, keys=keys, found=known)
    assert counters is not None  # SERVER_CLOCK always has a row
    alone = asked or any(rule.sliding for rule in windows) or any(row[1] is None for row, _ in jobs)
    starts = _starts(tx, line, jobs, counters, locked)
    granted = list(islice(starts, 1 if alone else want))
    if not granted:
        return None
    save_windows(tx, counters)
    mine = granted[-1][1]
    _set_slot(tx, place, queue, mine, counters)
    rows = [job[:DEPLOY_COLUMN] for job, _ in granted]
    if gates_of(mine):  # it asks again if it is given back, as its gates then have ended
        return Grant(rows, granted=True, gates=locked, rules=mine)
    for ends, some in groupby(granted, lambda one: _ends(one[1], counters)):
        tx.later(Query(RESERVE_SLOTS, (ends, [job[0] for job, _ in some])))
    return Grant(rows, granted=True)


def _ends(rules: Sequence[Asked], counters: LockedWindows) -> int:
    """Return until when a job that was given starts may use them, if it is given back unstarted."""
    return min(map(counters.slot_ends, windows_of(rules)))


def _starts(
    tx: Transaction,
    line: tuple[str, str],
    jobs: Sequence[tuple[Row, Sequence[Asked]]],
    counters: LockedWindows,
    locked: LockedGates | None,
) -> Iterator[tuple[Row, Sequence[Asked]]]:
    """Take the slots of one after the other of these heads of a line, as long as it has room.
    Yields those that have got them, each with the rules that applied."""
    place, queue = line
    for job, named_rules in jobs:
        held = holds.refusal(named_rules, counters.holds, counters.now)
        if held is not None:
            rule = named_rules[held.rule]
            if _wait_for_hold(tx, place, queue, job, rule, held.until):
                return
            continue
        rules = [counters.overridden(r) if isinstance(r, Rule) else r for r in named_rules]
        mine = locked if locked and gates_of(rules) else None
        at = concurrent_slots.refusing(mine, rules, to_text(job[0])) if mine else None
        admission = Admission(GATE_WAIT, at) if at is not None else _admit(counters, rules)
        if not admission.wait:
            yield job, rules
            continue
        refusing = named_rules[admission.rule]  # a line has the code's limit, not a person's
        if line_of(refusing) == place:
            if not isinstance(refusing, Gate):
                tx.later(Query(SET_SLOT, (admission.until, place, queue)))
            return
        open_line(tx, line_of(refusing), queue, refusing, number(job[DEPLOY_COLUMN]))
        tx.later(Query(MOVE_JOB, (line_of(refusing), job[0])))


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
    heads, found = tx.run(Query(LOCK_HEADS, (place, queue, 1)), Query(STILL_HELD, (key,)))
    held = read_holds(found)
    if not heads.rows:
        tx.later(Query(DELETE_LINE, (place, queue)))
        return None
    if key in held:
        tx.later(Query(SET_SLOT, (held[key], place, queue)))
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
    tx: Transaction, place: str, queue: str, rules: Sequence[Asked], counters: LockedWindows
) -> None:
    """Let the line wait for its next turn or, if the start just taken was the window's last, for
    the window's end."""
    if is_gate_line(place):
        tx.later(Query(concurrent_slots.SERVED, (place, queue)))
        return
    slot = counters.now
    for rule in windows_of(rules):
        if line_of(rule) == place:
            log = counters[window_name(rule)]
            is_full = sum(cost for _, cost in log) >= rule.limit
            slot = log[0][0] + rule.window if is_full else slot
    tx.later(Query(SET_SLOT, (slot, place, queue)))
