"""Lines of jobs that wait for a rate limit, parked for a slot or released until a window ends.

A row of `lines` is the line of one limit in one queue; `slot` is when to try the line next. The row
is also the line's lock. A transaction that parks, releases, grants or removes a job of the line
keeps the row locked until the transaction ends. So a line without jobs can be deleted, and no job
is in a line without a row.

`most` is the limit that was last named for this line, by the newest code (see `deploys.py`), and
applies to it. `since` is when `slot` was calculated. If `since` lies in the future, the clock has
gone back, and `queue_discovery.VOID_SLOT` resets both."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from poolq.engines import sanitize
from poolq.engines.base import Claim
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql import gates, holds
from poolq.engines.sql.gates import LockedGates, lock_gates
from poolq.engines.sql.holds import LOCKED_HOLD_END, STILL_HELD, is_hold_line, key_at, read_holds

from poolq.engines.sql.limit_windows import (  # isort: skip
    SERVER_CLOCK, LockedWindows, lock_windows, save_windows, window_name,
)  # fmt: skip
from poolq.engines.sql.location import (  # isort: skip
    NO_DEPLOY, RELEASED_PREFIX, is_gate_line, limit_at, line_of, released_by,
)  # fmt: skip
from poolq.engines.spans import span_of
from poolq.engines.sql.session import BatchQuery, Query, QueryResult, Row, Transaction, in_chunks
from poolq.jobs.limits import GATE_WAIT, Admission, Asked, Gate, Rule, gates_of, windows_of
from poolq.jobs.retry import HoldKey, Park, ReleaseUntil

#: How many due lines of a queue a step locks, how many of those with parked jobs it checks for a
#: free slot, and how many of a line's first jobs for one that no other limit holds back.
MAX_LOCKED, MAX_TRIED = 16, 3
#: How many released jobs of a line are read, at least: they may have been released until different
#: times, and those that were due first come first.
MIN_RELEASED = 16

#: The limit that a person has set for a row of {windows} w; NULL if there is none.
OVERRIDE_OF_WINDOW = """(SELECT o.most FROM {overrides} o
    WHERE o.name = w.name AND o.span = ABS(w.span))"""
#: With VALUES instead of SELECT, InnoDB would also lock the window's row, and could deadlock with a
#: grant, which locks the window after the line. The queue is an argument, as it may have no row.
OPEN_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, deploy, since)
    SELECT one.place, ?, {{greatest}}(COALESCE((SELECT
            CASE WHEN used >= COALESCE({OVERRIDE_OF_WINDOW}, ?) AND start <= {{now}}
                THEN start + ? ELSE {{now}} END
        FROM {{windows}} w WHERE name = ? AND span = ?), {{now}}), {LOCKED_HOLD_END}),
        ?, ?, ?, ?, {{now}}
    FROM (SELECT ? AS place) one WHERE 1 = 1
    {{on:place, queue}} slot = {{least}}(slot, {{new:slot}}),
    most = CASE WHEN deploy <= {{new:deploy}} THEN {{new:most}} ELSE most END,
    deploy = {{greatest}}(deploy, {{new:deploy}}),
    since = CASE WHEN since < {{new:since}} THEN {{new:since}} ELSE since END"""
PARK_JOB = "UPDATE {jobs} SET place = ?, lasts = 0, rules = ?, deploy = ? WHERE id = ?"
OPEN_RELEASED_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, deploy, since)
    VALUES (?, ?, ?, ?, ?, ?, {NO_DEPLOY}, {{now}})
    {{on:place, queue}} slot = {{least}}(slot, {{new:slot}}), most = {{new:most}},
    since = CASE WHEN since < {{new:since}} THEN {{new:since}} ELSE since END"""
#: `due_at` becomes the end of the wait, which orders the line; `taken` keeps the due time.
RELEASE_UNTIL = """UPDATE {jobs} SET place = ?, taken = due_at, due_at = ?, lasts = 0,
    attempt = ?, crashes = ?, failing = ?, history = ? WHERE id = ?"""
RELEASED_NOW = """SELECT taken, id FROM {jobs} WHERE place = ? AND queue = ? AND due_at <= ?
    ORDER BY due_at, id LIMIT ?"""
#: Jobs that would wait longer than the window, because the clock went back.
RELEASED_AHEAD = RELEASED_NOW.replace("due_at <= ?", "due_at > ?")
BRING_BACK = "UPDATE {jobs} SET place = '', due_at = taken WHERE id IN {list}"
FIRST_RELEASED = """SELECT due_at FROM {jobs} WHERE place = ? AND queue = ?
    ORDER BY due_at LIMIT 1"""
MOVE_JOB = "UPDATE {jobs} SET place = ? WHERE id = ?"
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
SET_SLOT = "UPDATE {lines} SET slot = ?, since = {now} WHERE place = ? AND queue = ?"
DELETE_LINE = "DELETE FROM {lines} WHERE place = ? AND queue = ?"
LOCK_LINE = "SELECT slot FROM {lines} WHERE place = ? AND queue = ? {lock}"
#: The lines of limits with a free slot, and of released jobs whose windows have ended, the one that
#: was served least recently first.
LOCK_DUE_LINES = f"""SELECT place, most, deploy, span, since, {{now}} FROM {{lines}} {{line:slot}}
    WHERE queue = ? AND slot <= {{now}} ORDER BY slot LIMIT {MAX_LOCKED} {{lock}}"""
SKIP_DUE_LINES = LOCK_DUE_LINES.replace("{lock}", "{skip}")
HAS_JOBS = "SELECT 1 FROM {jobs} WHERE place = ? AND queue = ? LIMIT 1"


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


def put_in_lines(
    tx: Transaction,
    waiting: Sequence[tuple[Claim, Park | HoldKey]],
    released: Sequence[tuple[Claim, ReleaseUntil]],
    deploy: int,
) -> None:
    """Move claimed jobs to their lines. Locks holds first, then the lines of released jobs, as
    steps do. `deploy`: of which deploy the code is that has named their limits."""
    holders = [(claim, one) for claim, one in waiting if isinstance(one, HoldKey)]
    parked = [(claim, one) for claim, one in waiting if isinstance(one, Park)]
    if holders:
        holds.hold_keys(tx, holders)
        parked += [(claim, one.park) for claim, one in holders if one.park is not None]
    soonest: dict[tuple[str, str], tuple[Rule, int]] = {}
    for claim, one in released:
        line = released_by(one.rule), claim.queue
        _, until = soonest.get(line, (one.rule, one.until))
        soonest[line] = one.rule, min(until, one.until)
    if soonest:
        released_lines = [
            (*line, until, *window_name(rule), rule.limit)
            for line, (rule, until) in sorted(soonest.items())
        ]
        tx.later(BatchQuery(OPEN_RELEASED_LINE, released_lines))
    opened = {}
    for claim, park in parked:
        rule = park.rules[park.refused]
        opened[line_of(rule), claim.queue] = rule
    for line, rule in sorted(opened.items()):
        _open_line(tx, *line, rule, deploy)
    if parked:
        waits = [
            (line_of(park.rules[park.refused]), encode_rules(park.rules), deploy, claim.id)
            for claim, park in parked
        ]
        tx.later(BatchQuery(PARK_JOB, waits))
    if released:
        dues = [(released_by(one.rule), one.until, *one.state, claim.id) for claim, one in released]
        tx.later(BatchQuery(RELEASE_UNTIL, dues))


def _open_line(tx: Transaction, place: str, queue: str, rule: Asked, deploy: int) -> None:
    line = window_name(rule)
    if isinstance(rule, Gate):
        tx.later(Query(gates.OPEN_LINE, (place, queue, *line, rule.limit, deploy)))
        return
    window = rule.limit, rule.window, *line
    tx.later(Query(OPEN_LINE, (queue, *window, rule.key, *line, rule.limit, deploy, place)))


def encode_rules(rules: Sequence[Asked]) -> bytes:
    """Encode rules as `sanitize.rules` reads them; a cost of 1 is left out."""
    return msgspec.json.encode(
        [
            (one.key, one.limit, span_of(one), *([one.cost] if one.cost != 1 else []))
            if isinstance(one, Rule)
            else (one.key, one.limit, span_of(one))
            for one in rules
        ]
    )


#: A line's place, its limit, and by which deploy's code that was named.
Line = tuple[str, int, int]


class DueLines(NamedTuple):
    """Locked lines of a queue: those of parked jobs, as `Line`, and those of released jobs, with
    the length of the window, and when the slot was computed. `now`: the server's time when they
    were locked."""

    parked: Sequence[Line] = ()
    released: Sequence[tuple[str, int, int]] = ()
    now: int = 0


def due_lines(queue: str, *, skips: bool = False) -> Query:
    """Return a query that locks lines, for `read_due_lines`. Lines are locked before jobs. So it is
    sent before the changes that a transaction has collected. If a step has claimed jobs, it
    `skips` the lines that another step is serving."""
    return Query(SKIP_DUE_LINES if skips else LOCK_DUE_LINES, (queue,))


def read_due_lines(found: QueryResult) -> DueLines:
    parked, released, now = [], [], 0
    for name, most, deploy, span, since, time in found.rows:
        place, now = to_text(name), number(time)
        if place.startswith(RELEASED_PREFIX):
            released.append((place, abs(number(span)), number(since)))
        else:
            parked.append((place, number(most), number(deploy)))
    return DueLines(parked, released, now)


def bring_back(tx: Transaction, queue: str, lines: DueLines, want: int) -> int | None:
    """Return released jobs of these lines to the queue, as many as the step wants, and those that
    were due first. The others stay, so that `claim_clock` sees them. Returns when the first of them
    was due, or None if there are none."""
    ended = {place: (place, queue, lines.now) for place, _, _ in lines.released}
    most = max(want, MIN_RELEASED)
    queries = [Query(RELEASED_NOW, (*line, most)) for line in ended.values()]
    set_back = [
        (place, queue, lines.now + span) for place, span, since in lines.released if since == 0
    ]
    queries += [Query(RELEASED_AHEAD, (*line, most)) for line in set_back]
    found = tx.run(*queries)
    rows = sorted((number(due), id_) for one in found for due, id_ in one.rows)[:want]
    tx.later(*(Query(BRING_BACK, (some,)) for some in in_chunks([id_ for _, id_ in rows])))
    ahead = zip(set_back, found[len(ended) :], strict=True)
    unfinished = {place for (place, *_), one in ahead if one.rows}
    left = tx.run(*(Query(FIRST_RELEASED, (place, queue)) for place in ended))
    for place, one in zip(ended, left, strict=True):
        if place in unfinished:
            continue  # its `since` must still show that the clock has gone back
        if one.rows:
            tx.later(Query(SET_SLOT, (number(one.rows[0][0]), place, queue)))
        else:
            tx.later(Query(DELETE_LINE, (place, queue)))
    return rows[0][0] if rows else None


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
        _open_line(tx, line_of(refusing), queue, refusing, number(job[DEPLOY_COLUMN]))
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
        _open_line(tx, line_of(rule), queue, rule, number(job[DEPLOY_COLUMN]))
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
            window = counters[window_name(rule)]
            slot = window.start + rule.window if window.used >= rule.limit else slot
    tx.later(Query(SET_SLOT, (slot, place, queue)))


def close_if_empty(tx: Transaction, place: str, queue: str) -> None:
    """Delete a locked line that has no jobs left."""
    if tx.one(HAS_JOBS, place, queue) is None:
        tx.later(Query(DELETE_LINE, (place, queue)))
