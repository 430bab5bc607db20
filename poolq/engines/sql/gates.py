"""Gates: at most so many jobs of a key run at once.

Nothing signals that a slot has become free; this is derived. A row of `slots` names a claim by the
job's id and its `place`, `request` and `idx`. It counts only while the job is claimed by exactly
this claim, so whatever ends the claim frees the slot, in the same act, and need not know of gates.
The line of a gate is due while the gate has room, whatever anybody has written, so no wake-up is
lost between a job that parks and a claim that ends. A line that is not due has a claim for each
slot of its gate; so there are no more such lines than claims, however many keys wait.

The window row (key, GATE_WINDOW) is locked while slots are taken. Its `most` is the limit that the
newest code has named (see `deploys.py`), so the row is kept while jobs wait for the gate. Rows of
ended claims are deleted by the next job of the key, or by a keeper. A row is called by the job that
took it first, its `seat`; a worker may hand it on to its next job, as long as the window row is
`plain` (see `handing_on.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from poolq.common.durations import MAX_MICROSECONDS
from poolq.engines.base import Claim
from poolq.engines.sanitize import number, to_text, total
from poolq.engines.sql import limit_windows
from poolq.engines.sql.holds import holds_query, read_holds, refusal
from poolq.engines.sql.location import GATE_SLOT, claimed_by, line_of
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    Session,
    Transaction,
    in_chunks,
)
from poolq.jobs.concurrency import GATE_WINDOW, gates_of, is_gate
from poolq.jobs.limits import GATE_WAIT, MAX_LIMIT, Admission, Rule

#: How many void slots one sweep deletes.
MAX_DELETED = 2000
#: How many void slots of a gate are left to `admit`.
MAX_VOID = 20
#: How many lines of a queue a step tries. Other steps may be serving the first ones.
MAX_TRIED = 8
#: What `jobs.admitted` is for a claim with slots of gates.
ADMITTED_BY_GATE = 2

#: Whether the job `j` is still claimed by the claim of the slot `s`.
IS_HELD = """j.request = s.request AND j.idx = s.idx
    AND (j.place = s.place OR j.place = {cancelled:s.place})"""
_TAKEN = f"""(SELECT COUNT(*) FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
    WHERE s.name = l.name AND {IS_HELD})"""
_MOST = f"""COALESCE((SELECT w.most FROM {{windows}} w
    WHERE w.name = l.name AND w.span = {GATE_WINDOW}), l.most)"""
#: Whether `l` is the line of a gate that has room, so that it is due.
IS_DUE = f"l.slot >= {GATE_SLOT} AND {_TAKEN} < {_MOST}"

LOCK_GATE = "SELECT most, deploy FROM {windows} WHERE name = ? AND span = ? {lock}"
MAKE_GATE = """INSERT INTO {windows} (name, span, most, deploy, start, used, ends)
    VALUES (?, ?, ?, COALESCE((SELECT w.deploy FROM {workers} w WHERE w.worker = ?), 0), 0, 0, 0)
    {on:name, span} span = {new:span}"""
DEPLOY_OF = "SELECT deploy FROM {workers} WHERE worker = ?"
SAVE_GATE = """UPDATE {windows} SET most = ?, start = {now}, used = ?, ends = {now},
    starts = starts + ? WHERE name = ? AND span = ?"""
ADD_STARTS = "UPDATE {windows} SET starts = starts + ? WHERE name = ? AND span = ?"
SET_MOST = "UPDATE {windows} SET most = ?, deploy = ?, plain = 0 WHERE name = ? AND span = ?"
SLOTS = f"""SELECT s.seat, s.id, CASE WHEN {IS_HELD} THEN 1 ELSE 0 END, s.handed
    FROM {{slots}} s LEFT JOIN {{jobs}} j {{by_id}} ON j.id = s.id WHERE s.name = ?"""
DELETE_SLOTS = "DELETE FROM {slots} WHERE name = ? AND seat IN {list}"
_CALLED_AGAIN = """{on:name, seat} id = {new:id}, place = {new:place}, request = {new:request},
    idx = {new:idx}"""
ADD_SLOT = f"""INSERT INTO {{slots}} (name, seat, id, place, request, idx)
    SELECT ?, ?, id, place, request, idx FROM {{jobs}} WHERE id = ? {_CALLED_AGAIN}"""
#: Takes a slot for a claim if the gate has room, its limit is as it was, no job waits in the line,
#: and the key is not held. If there are many void slots, or another row of the same job, it takes
#: none, so that `admit` deletes them.
ENTER = f"""INSERT INTO {{slots}} (name, seat, id, place, request, idx)
    SELECT ?, ?, c.id, c.place, c.request, c.idx FROM {{jobs}} c {{by_id}}
    WHERE c.id = ? AND c.place = ? AND c.request = ? AND c.idx = ?
    AND (SELECT w.most FROM {{windows}} w WHERE w.name = ? AND w.span = {GATE_WINDOW}) = ?
    AND (SELECT COUNT(*) FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
        WHERE s.name = ? AND {IS_HELD}) < ?
    AND (SELECT COALESCE(SUM(CASE WHEN o.id = ? AND o.seat <> ? THEN {MAX_LIMIT} ELSE 1 END), 0)
        FROM {{slots}} o WHERE o.name = ?) < ?
    AND NOT EXISTS (SELECT 1 FROM {{jobs}} f {{turn}} WHERE f.place = ? AND f.queue = ?)
    AND NOT EXISTS (SELECT 1 FROM {{holds}} h WHERE h.name = ?
        AND h.start <= {{now}} AND h.ends > {{now}}
        AND h.ends <= {{now}} + {MAX_MICROSECONDS}) {_CALLED_AGAIN}"""
_OF_CLAIM = "name = ? AND seat = ? AND id = ? AND place = ? AND request = ? AND idx = ?"
#: Free the slot of a claim whose job has ended: by deleting the row or, if it has been handed on,
#: by keeping it for the worker's next job of the key.
LEAVE = f"DELETE FROM {{slots}} WHERE {_OF_CLAIM}"
VACATE = f"UPDATE {{slots}} SET request = -1 WHERE {_OF_CLAIM}"
#: A gate with more rows than slots is not `plain`.
COUNT_ENTERED = f"""UPDATE {{windows}} SET start = {{now}}, ends = {{now}}, starts = starts + 1,
    plain = CASE WHEN plain = 1
        AND (SELECT COUNT(*) FROM {{slots}} o WHERE o.name = ?) <= most THEN 1 ELSE 0 END
    WHERE name = ? AND span = {GATE_WINDOW}
    AND EXISTS (SELECT 1 FROM {{slots}} s WHERE {_OF_CLAIM})"""
MARK_GATED = f"UPDATE {{jobs}} SET admitted = {ADMITTED_BY_GATE} WHERE id = ?"
DUE_TIME = "SELECT due_at, id FROM {jobs} WHERE id = ?"
FIRST_IN_LINE = """SELECT due_at, id FROM {jobs} {turn} WHERE place = ? AND queue = ?
    ORDER BY due_at, id LIMIT 1"""
#: The lines of a queue whose gates have room, the one served least recently first.
FIRST_LINES = f"""SELECT l.place FROM {{lines}} l {{line:slot}} WHERE l.queue = ? AND {IS_DUE}
    ORDER BY l.queue, l.slot LIMIT ?"""
LOCK_GATE_LINE = "SELECT most, deploy FROM {lines} WHERE place = ? AND queue = ? {skip}"
#: A line's `slot` tells when it was last served, so that keys take turns.
OPEN_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, deploy, since)
    VALUES (?, ?, {GATE_SLOT} + {{now}}, ?, ?, ?, ?, 0)
    {{on:place, queue}} most = CASE WHEN deploy <= {{new:deploy}} THEN {{new:most}} ELSE most END,
    deploy = {{greatest}}(deploy, {{new:deploy}})"""
#: The gate is no longer `plain`, because a job waits. Run after the job is in the line.
HAS_LINE = "UPDATE {windows} SET plain = 0 WHERE name = ? AND span = ?"
SERVED = f"UPDATE {{lines}} SET slot = {GATE_SLOT} + {{now}} WHERE place = ? AND queue = ?"
VOID_SLOTS = f"""SELECT s.name, s.seat, s.handed
    FROM {{slots}} s LEFT JOIN {{jobs}} j {{by_id}} ON j.id = s.id
    WHERE j.id IS NULL OR NOT ({IS_HELD}) LIMIT {MAX_DELETED}"""
DELETE_VOID_SLOT = f"""DELETE FROM {{slots}} WHERE name = ? AND seat = ? AND NOT EXISTS
    (SELECT 1 FROM {{jobs}} j WHERE j.id = {{slots}}.id AND {IS_HELD.replace("s.", "{slots}.")})"""
#: Counts in the window row how often a void slot has been handed on, before the slot is deleted. As
#: this locks the row, the slot remains void.
COUNT_HANDED = f"""UPDATE {{windows}} SET starts = starts + COALESCE((SELECT s.handed
        FROM {{slots}} s WHERE s.name = ? AND s.seat = ? AND NOT EXISTS
        (SELECT 1 FROM {{jobs}} j WHERE j.id = s.id AND {IS_HELD})), 0)
    WHERE name = ? AND span = {GATE_WINDOW}"""
#: How many slots of each gate are taken, and the gate's limit.
USED_GATES = f"""SELECT u.name, w.most, u.used, w.starts
        + (SELECT SUM(o.handed) FROM {{slots}} o WHERE o.name = u.name) FROM
    (SELECT s.name, COUNT(*) AS used FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
        WHERE {IS_HELD} GROUP BY s.name ORDER BY s.name LIMIT ?) u
    JOIN {{windows}} w ON w.name = u.name AND w.span = {GATE_WINDOW}"""


class LockedGates(msgspec.Struct, frozen=True):
    """Some gates, locked until the transaction ends. By key: `most`, the limit
    that counts, and `deploy`, which deploy's code has named it; `taken`, the jobs with a slot, and
    their seats; `void`, the seats in rows of ended claims; `handed`, how often the row of each seat
    has been handed on."""

    most: dict[str, int]
    deploy: dict[str, int]
    taken: dict[str, dict[str, str]]
    void: dict[str, list[str]]
    handed: dict[str, dict[str, int]]

    def refusing(self, rules: Sequence[Rule], id_: str) -> int | None:
        """Return the position of the first gate that has no room for the job, or None."""
        for at, rule in enumerate(rules):
            if rule.window == GATE_WINDOW:
                others = len(self.taken[rule.key]) - (id_ in self.taken[rule.key])
                if others >= self.most[rule.key]:
                    return at
        return None

    def delete_void(self, tx: Transaction, key: str, *others: str) -> None:
        """Delete the rows of ended claims and `others`. Count how often they were handed on."""
        gone = [*self.void[key], *others]
        tx.later(*(Query(DELETE_SLOTS, (key, some)) for some in in_chunks(gone)))
        if times := sum(self.handed[key][seat] for seat in gone):
            tx.later(Query(ADD_STARTS, (times, key, GATE_WINDOW)))

    def enter(self, tx: Transaction, rules: Sequence[Rule], id_: str, seat: str = "") -> None:
        """Take a slot of each gate for a job that is claimed when the changes are sent. `seat`:
        what to call the rows, if not by the job."""
        seat = seat or id_
        for rule in gates_of(rules):
            key, taken = rule.key, self.taken[rule.key]
            self.delete_void(tx, key, *([taken[id_]] if taken.get(id_, seat) != seat else []))
            tx.later(Query(ADD_SLOT, (key, seat, id_)))
            used = len(taken) + (id_ not in taken)
            tx.later(Query(SAVE_GATE, (self.most[key], used, 1, key, GATE_WINDOW)))


class Leaving(NamedTuple):
    """What a worker does with slots when it asks for the next one: statements that free those of
    ended jobs; and what to call the row of the next one, if not by its job."""

    queries: Sequence[Query] = ()
    seat: str = ""


def slot_name(key: str, seat: str, worker: str, claim: Claim) -> Sequence[object]:
    """Return the arguments of LEAVE and VACATE."""
    return key, seat, claim.id, claimed_by(worker), claim.request, claim.index


def lock_gates(
    tx: Transaction, rules: Iterable[Rule], *queries: Query, worker: str = ""
) -> tuple[LockedGates, list[QueryResult]]:
    """Lock the gates among these rules, in the order of their keys, and run `queries` after that,
    in the same round trip. Returns the gates and the answers."""
    named = {rule.key: rule.limit for rule in gates_of(tuple(rules))}
    keys = sorted(named)
    locks = [Query(LOCK_GATE, (key, GATE_WINDOW)) for key in keys]
    slots = [Query(SLOTS, (key,)) for key in keys]
    found = tx.run(*locks, *slots, *queries)
    if not all(result.rows for result in found[: len(keys)]):
        tx.later(*(Query(MAKE_GATE, (key, GATE_WINDOW, named[key], worker)) for key in keys))
        found = tx.run(*locks, *slots, *queries)
    gates = LockedGates({}, {}, {}, {}, {})
    for at, key in enumerate(keys):
        gates.most[key], gates.deploy[key] = map(number, found[at].rows[0])
        rows = found[len(keys) + at].rows
        gates.taken[key] = {to_text(id_): to_text(seat) for seat, id_, held, _ in rows if held}
        gates.void[key] = [to_text(seat) for seat, _, held, _ in rows if not held]
        gates.handed[key] = {to_text(seat): number(times) for seat, _, _, times in rows}
    return gates, found[2 * len(keys) :]


def admit(
    tx: Transaction, rules: Sequence[Rule], clock: Query, held_by: tuple[str, Claim], seat: str = ""
) -> Admission | None:
    """Take a slot of each gate and a start of each window, or nothing. Returns None if `clock`, a
    query that also locks the job's claim, finds no row. Holds and gates are asked first, because a
    job that they refuse uses no attempt. `held_by`: the worker and its claim. `seat`: see
    `LockedGates.enter`."""
    worker, claim = held_by
    mine, id_, queue = gates_of(rules), claim.id, claim.queue
    keys = holds_query(rule.key for rule in rules)
    heads = [Query(FIRST_IN_LINE, (line_of(rule), queue)) for rule in mine]
    gates, (held, holds, code, *first) = lock_gates(
        tx, mine, clock, keys, Query(DEPLOY_OF, (worker,)), *heads, worker=worker
    )
    if not held.rows:
        return None
    refused = refusal(rules, read_holds(holds), number(held.rows[0][0]))
    if refused is not None:
        return refused
    deploy = number(code.rows[0][0]) if code.rows else 0
    for rule in mine:
        if gates.most[rule.key] != rule.limit and gates.deploy[rule.key] <= deploy:
            gates.most[rule.key] = rule.limit
            tx.later(Query(SET_MOST, (rule.limit, deploy, rule.key, GATE_WINDOW)))
    at = gates.refusing(rules, id_)
    if at is None and any(head.rows for head in first):
        (due,) = tx.run(Query(DUE_TIME, (id_,)))
        waiting = dict(zip((rule.key for rule in mine), first, strict=True))
        at = next(
            (at for at, one in enumerate(rules) if _is_behind(due, waiting.get(one.key))), None
        )
    if at is not None:
        return Admission(GATE_WAIT, at)
    windows = [rule for rule in rules if not is_gate(rule)]
    admission = limit_windows.admit(tx, windows) if windows else Admission(0)
    assert admission is not None  # SERVER_CLOCK always has a row
    if admission.wait:
        return admission._replace(rule=rules.index(windows[admission.rule]))
    gates.enter(tx, rules, id_, seat)
    return admission


def enter_at_once(
    tx: Transaction, rule: Rule, held: tuple[str, Claim], clock: Query, leaving: "Leaving"
) -> bool:
    """Take a slot in one round trip, which ends the transaction, after freeing others. Returns
    False if that is not as simple; then only these are changed, and `admit` must be called.
    `held`: the worker and its claim. `clock`: as in `admit`."""
    (worker, claim), key, most = held, rule.key, rule.limit
    seat = leaving.seat or claim.id
    called = slot_name(key, seat, worker, claim)
    room = key, most, key, most, claim.id, seat, key, most + MAX_VOID
    *_, entered, _ = tx.finish(
        Query(MAKE_GATE, (key, GATE_WINDOW, most, worker)),  # locks the row if it is there
        clock,
        *leaving.queries,
        Query(ENTER, (*called, *room, line_of(rule), claim.queue, key)),
        Query(COUNT_ENTERED, (key, key, *called)),
    )
    return entered.changed > 0


def _is_behind(due: QueryResult, head: QueryResult | None) -> bool:
    """Return whether a job comes after the head of a line."""
    if head is None or not head.rows:
        return False
    mine, first = ((number(row[0]), to_text(row[1])) for row in (due.rows[0], head.rows[0]))
    return first < mine


def lock_first_lines(tx: Transaction, queue: str, first: str) -> Iterator[tuple[str, int, int]]:
    """Lock the first lines of the queue whose gates have room, one by one. Yields each with its
    limit, and by which deploy's code that was named. Skips those that another step is about to
    serve. `first`: the first of them."""
    places = [first]
    for at in range(MAX_TRIED):
        if at == 1:
            (found,) = tx.send([Query(FIRST_LINES, (queue, MAX_TRIED))])  # see `parking.due_lines`
            places = [first, *(place for (one,) in found.rows if (place := to_text(one)) != first)]
        if at >= len(places):
            return
        (locked,) = tx.send([Query(LOCK_GATE_LINE, (places[at], queue))])
        for most, deploy in locked.rows:
            yield places[at], number(most), number(deploy)


def mark_granted(tx: Transaction, gates: LockedGates, rules: Sequence[Rule], id_: str) -> None:
    """Take the slots of a parked job that has just been claimed."""
    gates.enter(tx, rules, id_)
    tx.later(Query(MARK_GATED, (id_,)))


def sweep(session: Session) -> bool:
    """Delete some void slots. Returns whether there may be more."""
    void = sorted(session.read(Query(VOID_SLOTS))[0].rows)
    if void:
        rows = [(name, seat) for name, seat, _ in void]
        handed = [(name, seat, name) for name, seat, times in void if number(times) > 0]
        counted = [BatchQuery(COUNT_HANDED, handed)] if handed else []
        session.transact(lambda tx: tx.later(*counted, BatchQuery(DELETE_VOID_SLOT, rows)))
    return len(void) >= MAX_DELETED


def uses(session: Session, most: int) -> dict[str, tuple[int, int, int]]:
    """Return the gates that have taken slots, at most `most`, by key: the limit, how many slots are
    taken, and how many were ever taken."""
    found = session.read(Query(USED_GATES, (most,)))[0].rows
    return {
        to_text(key): (number(limit), number(used), total(all_)) for key, limit, used, all_ in found
    }
