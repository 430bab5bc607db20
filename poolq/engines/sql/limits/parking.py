"""Lines of jobs that wait for a rate limit, parked for a slot or released until a window ends.

A row of `lines` is the line of one limit in one queue; `slot` is when to try the line next. The row
is also the line's lock. A transaction that parks, releases, grants or removes a job of the line
keeps the row locked until the transaction ends. So a line without jobs can be deleted, and no job
is in a line without a row.

`most` is the limit that applies to this line. The newest code has named it (see `deploys.py`).
`since` is when `slot` was calculated. If `since` lies in the future, the clock has gone back, and
`queue_discovery.VOID_SLOT` resets `slot` and `since`."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from poolq.engines.base import Claim
from poolq.engines.sanitize import number, to_text
from poolq.engines.spans import span_of
from poolq.engines.sql.limits import concurrent_slots, holds
from poolq.engines.sql.limits.holds import LOCKED_HOLD_END, OPEN_HOLD_LINE, PARK_HOLDER
from poolq.engines.sql.limits.limit_windows import window_name
from poolq.engines.sql.location import NO_DEPLOY, RELEASED_PREFIX, line_of, released_by
from poolq.engines.sql.session import BatchQuery, Query, QueryResult, Transaction, in_chunks
from poolq.jobs.limits import Asked, Gate, HeldKey, Rule
from poolq.jobs.outcomes import HoldKey, Park, ReleaseUntil

#: How many due lines of a queue a step locks.
MAX_LOCKED = 16
#: How many released jobs of a line are read at least. They are read in the order in which their
#: waits end, but the jobs that were due first go first.
MIN_RELEASED = 16

#: With VALUES instead of SELECT, InnoDB would also lock the window's row, and could deadlock with a
#: grant, which locks the window after the line. The queue is an argument: it may have no row.
OPEN_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, deploy, since)
    SELECT one.place, ?, {{greatest}}(COALESCE((SELECT
            CASE WHEN used >= COALESCE(set_most, ?) AND start <= {{now}}
                THEN start + ? ELSE {{now}} END
        FROM {{windows}} WHERE name = ? AND span = ?), {{now}}), {LOCKED_HOLD_END}),
        ?, ?, ?, ?, {{now}}
    FROM (SELECT ? AS place) one WHERE 1 = 1
    {{on:place, queue}} slot = {{least}}({{lines}}.slot, {{new:slot}}),
    most = CASE WHEN {{lines}}.deploy <= {{new:deploy}} THEN {{new:most}} ELSE {{lines}}.most END,
    deploy = {{greatest}}({{lines}}.deploy, {{new:deploy}}),
    since = {{greatest}}({{lines}}.since, {{new:since}})"""
PARK_JOBS = "UPDATE {jobs} SET place = ?, lasts = 0, rules = ?, deploy = ? WHERE id {in_list}"
OPEN_RELEASED_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, deploy, since)
    VALUES (?, ?, ?, ?, ?, ?, {NO_DEPLOY}, {{now}})
    {{on:place, queue}} slot = {{least}}({{lines}}.slot, {{new:slot}}), most = {{new:most}},
    since = CASE WHEN {{lines}}.since = 0 THEN 0
        ELSE {{greatest}}({{lines}}.since, {{new:since}}) END"""
#: `due_at` becomes the end of the wait, which orders the line; `taken` keeps the due time.
RELEASE_UNTIL = """UPDATE {jobs} SET place = ?, taken = due_at, due_at = ?, lasts = 0,
    attempt = ?, crashes = ?, failing = ?, history = ? WHERE id = ?"""
RELEASED_NOW = """SELECT taken, id FROM {jobs} WHERE place = ? AND queue = ? AND due_at <= ?
    ORDER BY due_at, {ordering:id} LIMIT ?"""
#: Jobs that would wait longer than the window, because the clock went back.
RELEASED_AHEAD = RELEASED_NOW.replace("due_at <= ?", "due_at > ?")
BRING_BACK = "UPDATE {jobs} SET place = '{returned:b}', due_at = taken WHERE id {in_list}"
FIRST_RELEASED = """SELECT due_at FROM {jobs} WHERE place = ? AND queue = ?
    ORDER BY due_at LIMIT 1"""
MOVE_JOB = "UPDATE {jobs} SET place = ? WHERE id = ?"
SET_SLOT = "UPDATE {lines} SET slot = ?, since = {now} WHERE place = ? AND queue = ?"
DELETE_LINE = "DELETE FROM {lines} WHERE place = ? AND queue = ?"
LOCK_LINE = "SELECT slot FROM {lines} WHERE place = ? AND queue = ? {lock}"
#: The lines of limits with a free slot, and of released jobs whose windows have ended, the one that
#: was served least recently first.
LOCK_DUE_LINES = f"""SELECT place, most, deploy, span, since, {{now}} FROM {{lines}} {{line:slot}}
    WHERE {{ordering:queue}} = ? AND slot <= {{now}} ORDER BY slot LIMIT {MAX_LOCKED} {{lock}}"""
SKIP_DUE_LINES = LOCK_DUE_LINES.replace("{lock}", "{skip}")
#: LOCK_DUE_LINES, but locked in the order of their places. Slots change, so two steps would lock
#: lines in different orders, and PostgreSQL notices a deadlock only after a second.
LOCK_DUE_LINES_BY_PLACE = f"""SELECT l.place, most, deploy, span, since, {{now}}
    FROM (SELECT place, queue FROM (SELECT place, queue FROM {{lines}}
        WHERE {{ordering:queue}} = ? AND slot <= {{now}} ORDER BY slot LIMIT {MAX_LOCKED}) first
        ORDER BY place) due,
    LATERAL (SELECT * FROM {{lines}} WHERE place = due.place AND queue = due.queue
        AND slot <= {{now}} OFFSET 0 {{lock}}) l ORDER BY slot"""
HAS_JOBS = "SELECT 1 FROM {jobs} WHERE place = ? AND queue = ? LIMIT 1"


def put_in_lines(
    tx: Transaction,
    waiting: Sequence[tuple[Claim, Park | HoldKey]],
    released: Sequence[tuple[Claim, ReleaseUntil]],
    deploy: int,
) -> Collection[str]:
    """Move claimed jobs to their lines. Locks holds first, then all the lines, sorted as steps do.
    Returns keys for `note_holds`. `deploy`: the deploy whose code has named the jobs' limits."""
    holders = [(claim, one) for claim, one in waiting if isinstance(one, HoldKey)]
    parked = [(claim, one) for claim, one in waiting if isinstance(one, Park)]
    parked += [(claim, one.park) for claim, one in holders if one.park is not None]
    held = holds.hold_keys(tx, [one for _, one in holders])
    # By place and queue. Two jobs may name one limit, and the last one counts.
    opened: dict[tuple[str, str], Query] = {}
    in_holds = []
    for claim, hold in holders:
        if hold.park is None:
            place = line_of(HeldKey(hold.key))
            opened[place, claim.queue] = open_hold_line(claim.queue, hold.key)
            in_holds.append((place, claim.id))
    soonest: dict[tuple[str, str], tuple[Rule, int]] = {}
    for claim, one in released:
        line = released_by(one.rule), claim.queue
        _, until = soonest.get(line, (one.rule, one.until))
        soonest[line] = one.rule, min(until, one.until)
    for line, (by, until) in soonest.items():
        args = *line, until, *window_name(by), by.limit
        opened[line] = Query(OPEN_RELEASED_LINE, args)
    alike: dict[Park, list[str]] = defaultdict(list)
    for claim, park in parked:
        rule = park.rules[park.refused]
        opened[line_of(rule), claim.queue] = open_line(claim.queue, rule, deploy)
        alike[park].append(claim.id)
    tx.later(*(opened[line] for line in sorted(opened)))
    if in_holds:
        tx.later(BatchQuery(PARK_HOLDER, in_holds))
    for park, ids in alike.items():
        place, rules = line_of(park.rules[park.refused]), encode_rules(park.rules)
        tx.later(*(Query(PARK_JOBS, (place, rules, deploy, some)) for some in in_chunks(ids)))
    if released:
        dues = [(released_by(one.rule), one.until, *one.state, claim.id) for claim, one in released]
        tx.later(BatchQuery(RELEASE_UNTIL, dues))
    return held


def open_line(queue: str, rule: Asked, deploy: int, heeds: bool = True) -> Query:
    """Return a statement that makes or locks the line of a limit. `heeds`: whether it waits for a
    hold at once, or else as soon as it is tried."""
    line, place = window_name(rule), line_of(rule)
    if isinstance(rule, Gate):
        return Query(concurrent_slots.OPEN_LINE, (place, queue, *line, rule.limit, deploy))
    key = rule.key if heeds else None
    args = queue, rule.limit, rule.window, *line, key, *line, rule.limit, deploy, place
    return Query(OPEN_LINE, args)


def open_hold_line(queue: str, key: str, heeds: bool = True) -> Query:
    """Return a statement that makes or locks the line of a hold."""
    return Query(OPEN_HOLD_LINE, (queue, key if heeds else None, key, line_of(HeldKey(key))))


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


#: A line's place, its limit, and the deploy whose code has named the limit.
Line = tuple[str, int, int]


class DueLines(NamedTuple):
    """Locked lines of a queue. `parked`: those of parked jobs. `released`: those of released jobs,
    each as its place, the length of its window, and when its slot was computed. `now`: the server's
    time when the lines were locked."""

    parked: Sequence[Line] = ()
    released: Sequence[tuple[str, int, int]] = ()
    now: int = 0


def due_lines(queue: str, *, skips: bool = False) -> Query:
    """Return a query that locks lines, for `read_due_lines`. Lines are locked before jobs. So the
    query is sent before the changes that a transaction has collected. `skips`: skip lines that
    another step is serving, because this step has claimed jobs or locked other lines."""
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
    """Return as many released jobs of these lines to the queue as the step wants, those that were
    due first. The other jobs stay, so that `claim_clock` sees them. Returns when the first returned
    job was due, or None if there is none."""
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
