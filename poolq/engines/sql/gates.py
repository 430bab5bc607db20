"""Gates: at most so many jobs of a key run at once.

Nothing signals that a slot has become free; this is derived. A row of `slots` names a claim by the
job's id and its `request`, `idx` and `taken`. It counts only while the job is claimed by exactly
this claim, so whatever ends the claim frees the slot, in the same act, and need not know of gates.
The line of a gate is due while the gate has room, whatever anybody has written, so no wake-up is
lost between a job that parks and a claim that ends. A line that is not due has a claim for each
slot of its gate; so there are no more such lines than claims, however many keys wait.

The window row (key, GATE_WINDOW) is locked while slots are taken. Its `most` is the limit that was
last named. Rows of ended claims are deleted by the next job of the key, or by a keeper.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from poolq.engines.base import Claim, EndedSlots
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql import limit_windows
from poolq.engines.sql.holds import holds_query, read_holds, refusal
from poolq.engines.sql.location import CLAIMED_RANGE, GATE_SLOT, claimed_by, line_of
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    Session,
    Transaction,
    in_chunks,
)
from poolq.jobs.concurrency import GATE_WINDOW, gates_of, is_gate
from poolq.jobs.limits import GATE_WAIT, Admission, Rule

#: How many void slots one sweep deletes.
MAX_DELETED = 2000
#: How many void slots of a gate are left to `admit`.
MAX_VOID = 20
#: How many lines of a queue a step tries. Other steps may be serving the first ones.
MAX_TRIED = 8
#: What `jobs.admitted` is for a claim with slots of gates.
ADMITTED_BY_GATE = 2

_START, _END = CLAIMED_RANGE
#: Whether the job `j` is still claimed by the claim of the slot `s`.
IS_HELD = f"""j.request = s.request AND j.idx = s.idx AND j.taken = s.taken
    AND j.place >= '{_START}' AND j.place < '{_END}'"""
_TAKEN = f"""(SELECT COUNT(*) FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
    WHERE s.name = l.name AND {IS_HELD})"""
_MOST = f"""COALESCE((SELECT w.most FROM {{windows}} w
    WHERE w.name = l.name AND w.span = {GATE_WINDOW}), l.most)"""
#: Whether `l` is the line of a gate that has room, so that it is due.
IS_DUE = f"l.slot >= {GATE_SLOT} AND {_TAKEN} < {_MOST}"

LOCK_GATE = "SELECT most FROM {windows} WHERE name = ? AND span = ? {lock}"
MAKE_GATE = """INSERT INTO {windows} (name, span, most, start, used, ends)
    VALUES (?, ?, ?, 0, 0, 0) {on:name, span} span = {new:span}"""
SAVE_GATE = """UPDATE {windows} SET most = ?, start = {now}, used = ?, ends = {now},
    starts = starts + ? WHERE name = ? AND span = ?"""
SET_MOST = "UPDATE {windows} SET most = ? WHERE name = ? AND span = ?"
SLOTS = f"""SELECT s.id, CASE WHEN {IS_HELD} THEN 1 ELSE 0 END
    FROM {{slots}} s LEFT JOIN {{jobs}} j {{by_id}} ON j.id = s.id WHERE s.name = ?"""
DELETE_SLOTS = "DELETE FROM {slots} WHERE name = ? AND id IN {list}"
ADD_SLOT = """INSERT INTO {slots} (name, id, request, idx, taken)
    SELECT ?, id, request, idx, taken FROM {jobs} WHERE id = ?
    {on:name, id} request = {new:request}, idx = {new:idx}, taken = {new:taken}"""
#: Takes a slot for a claim if the gate has room, its limit is as it was, no job waits in the line,
#: and the key is not held. If there are many void slots, it takes none, so that `admit` deletes
#: them.
ENTER = f"""INSERT INTO {{slots}} (name, id, request, idx, taken)
    SELECT ?, c.id, c.request, c.idx, c.taken FROM {{jobs}} c {{by_id}}
    WHERE c.id = ? AND c.place = ? AND c.request = ? AND c.idx = ?
    AND (SELECT w.most FROM {{windows}} w WHERE w.name = ? AND w.span = {GATE_WINDOW}) = ?
    AND (SELECT COUNT(*) FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
        WHERE s.name = ? AND {IS_HELD}) < ?
    AND (SELECT COUNT(*) FROM {{slots}} o WHERE o.name = ?) < ?
    AND NOT EXISTS (SELECT 1 FROM {{jobs}} f {{turn}} WHERE f.place = ? AND f.queue = ?)
    AND NOT EXISTS (SELECT 1 FROM {{holds}} h WHERE h.name = ?
        AND h.start <= {{now}} AND h.ends > {{now}})
    {{on:name, id}} request = {{new:request}}, idx = {{new:idx}}, taken = {{new:taken}}"""
#: Frees the slot of a claim whose job has ended, as long as exactly this claim is held.
LEAVE = f"""DELETE FROM {{slots}} WHERE name = ? AND id = ? AND EXISTS
    (SELECT 1 FROM {{jobs}} j {{by_id}} WHERE j.id = ?
    AND j.place = ? AND j.request = ? AND j.idx = ?
    AND {IS_HELD.replace("s.", "{slots}.")})"""
COUNT_ENTERED = f"""UPDATE {{windows}} SET start = {{now}}, ends = {{now}}, starts = starts + 1
    WHERE name = ? AND span = {GATE_WINDOW} AND EXISTS (SELECT 1 FROM {{slots}} s
        WHERE s.name = ? AND s.id = ? AND s.request = ? AND s.idx = ?)"""
MARK_GATED = f"UPDATE {{jobs}} SET admitted = {ADMITTED_BY_GATE} WHERE id = ?"
DUE_TIME = "SELECT due_at, id FROM {jobs} WHERE id = ?"
FIRST_IN_LINE = """SELECT due_at, id FROM {jobs} {turn} WHERE place = ? AND queue = ?
    ORDER BY due_at, id LIMIT 1"""
#: The lines of a queue whose gates have room, the one served least recently first.
FIRST_LINES = f"""SELECT l.place FROM {{lines}} l {{line:slot}} WHERE l.queue = ? AND {IS_DUE}
    ORDER BY l.queue, l.slot LIMIT ?"""
LOCK_GATE_LINE = "SELECT most FROM {lines} WHERE place = ? AND queue = ? {skip}"
#: A line's `slot` tells when it was last served, so that keys take turns.
OPEN_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, since)
    VALUES (?, ?, {GATE_SLOT} + {{now}}, ?, ?, ?, {{now}})
    {{on:place, queue}} most = {{new:most}}"""
SERVED = f"""UPDATE {{lines}} SET slot = {GATE_SLOT} + {{now}}, since = {{now}}
    WHERE place = ? AND queue = ?"""
VOID_SLOTS = f"""SELECT s.name, s.id FROM {{slots}} s LEFT JOIN {{jobs}} j {{by_id}} ON j.id = s.id
    WHERE j.id IS NULL OR NOT ({IS_HELD}) LIMIT {MAX_DELETED}"""
DELETE_VOID_SLOT = f"""DELETE FROM {{slots}} WHERE name = ? AND id = ? AND NOT EXISTS
    (SELECT 1 FROM {{jobs}} j WHERE j.id = {{slots}}.id AND {IS_HELD.replace("s.", "{slots}.")})"""
#: How many slots of each gate are taken, and the gate's limit.
USED_GATES = f"""SELECT u.name, w.most, u.used, w.starts FROM
    (SELECT s.name, COUNT(*) AS used FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
        WHERE {IS_HELD} GROUP BY s.name ORDER BY s.name LIMIT ?) u
    JOIN {{windows}} w ON w.name = u.name AND w.span = {GATE_WINDOW}"""


@dataclass(frozen=True, slots=True)
class LockedGates:
    """Some gates, locked until the transaction ends. By key: `most`, the limit last named; `taken`,
    the ids of the jobs with a slot; `void`, the ids in rows of ended claims."""

    most: dict[str, int]
    taken: dict[str, set[str]]
    void: dict[str, list[str]]

    def refusing(self, rules: Sequence[Rule], id_: str) -> int | None:
        """Return the position of the first gate that has no room for the job, or None."""
        for at, rule in enumerate(rules):
            if rule.window == GATE_WINDOW:
                others = self.taken[rule.key] - {id_}
                if len(others) >= self.most[rule.key]:
                    return at
        return None

    def enter(self, tx: Transaction, rules: Sequence[Rule], id_: str) -> None:
        """Take a slot of each gate for a job that is claimed when the changes are sent."""
        for rule in gates_of(rules):
            key = rule.key
            if self.void[key]:
                tx.later(*(Query(DELETE_SLOTS, (key, some)) for some in in_chunks(self.void[key])))
            tx.later(Query(ADD_SLOT, (key, id_)))
            used = len(self.taken[key] | {id_})
            tx.later(Query(SAVE_GATE, (self.most[key], used, 1, key, GATE_WINDOW)))


def leave_queries(worker: str, ended: Sequence[EndedSlots]) -> list[Query]:
    """Return statements that free these slots of the worker's claims."""
    slots = sorted(
        (rule.key, claim.id, claim.id, claimed_by(worker), claim.request, claim.index)
        for claim, rules in ended
        for rule in gates_of(rules)
    )
    return [Query(LEAVE, one) for one in slots]


def lock_gates(
    tx: Transaction, rules: Iterable[Rule], *queries: Query
) -> tuple[LockedGates, list[QueryResult]]:
    """Lock the gates among these rules, in the order of their keys, and run `queries` after that,
    in the same round trip. Returns the gates and the answers."""
    named = {rule.key: rule.limit for rule in gates_of(tuple(rules))}
    keys = sorted(named)
    locks = [Query(LOCK_GATE, (key, GATE_WINDOW)) for key in keys]
    slots = [Query(SLOTS, (key,)) for key in keys]
    found = tx.run(*locks, *slots, *queries)
    if not all(result.rows for result in found[: len(keys)]):
        tx.later(*(Query(MAKE_GATE, (key, GATE_WINDOW, named[key])) for key in keys))
        found = tx.run(*locks, *slots, *queries)
    gates = LockedGates({}, {}, {})
    for at, key in enumerate(keys):
        gates.most[key] = number(found[at].rows[0][0])
        rows = found[len(keys) + at].rows
        gates.taken[key] = {to_text(id_) for id_, held in rows if held}
        gates.void[key] = [to_text(id_) for id_, held in rows if not held]
    return gates, found[2 * len(keys) :]


def admit(tx: Transaction, rules: Sequence[Rule], clock: Query, claim: Claim) -> Admission | None:
    """Take a slot of each gate and a start of each window, or nothing. Returns None if `clock`, a
    query that also locks the job's claim, finds no row. Holds and gates are asked first, because a
    job that they refuse uses no attempt."""
    mine, id_, queue = gates_of(rules), claim.id, claim.queue
    keys = holds_query(rule.key for rule in rules)
    heads = [Query(FIRST_IN_LINE, (line_of(rule), queue)) for rule in mine]
    gates, (held, holds, *first) = lock_gates(tx, mine, clock, keys, *heads)
    if not held.rows:
        return None
    refused = refusal(rules, read_holds(holds), number(held.rows[0][0]))
    if refused is not None:
        return refused
    for rule in mine:
        if gates.most[rule.key] != rule.limit:
            gates.most[rule.key] = rule.limit
            tx.later(Query(SET_MOST, (rule.limit, rule.key, GATE_WINDOW)))
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
    gates.enter(tx, rules, id_)
    return admission


def enter_at_once(
    tx: Transaction, rule: Rule, held: tuple[str, Claim], clock: Query, leaves: Sequence[Query]
) -> bool:
    """Take a slot in one round trip, which ends the transaction, after running `leaves`. Returns
    False if that is not as simple; then only `leaves` have changed something, and `admit` must be
    called. `held`: the worker and its claim. `clock`: as in `admit`."""
    (worker, claim), key, most = held, rule.key, rule.limit
    name = claim.id, claimed_by(worker), claim.request, claim.index
    room = key, most, key, most, key, most + MAX_VOID
    *_, entered, _ = tx.finish(
        Query(MAKE_GATE, (key, GATE_WINDOW, most)),  # locks the row if it is there
        clock,
        *leaves,
        Query(ENTER, (key, *name, *room, line_of(rule), claim.queue, key)),
        Query(COUNT_ENTERED, (key, key, claim.id, claim.request, claim.index)),
    )
    return entered.changed > 0


def _is_behind(due: QueryResult, head: QueryResult | None) -> bool:
    """Return whether a job comes after the head of a line."""
    if head is None or not head.rows:
        return False
    mine, first = ((number(row[0]), to_text(row[1])) for row in (due.rows[0], head.rows[0]))
    return first < mine


def lock_first_lines(tx: Transaction, queue: str) -> Iterator[tuple[str, int]]:
    """Lock the first lines of the queue whose gates have room, one by one. Yields each with its
    limit. Skips those that another step is about to serve."""
    (found,) = tx.send([Query(FIRST_LINES, (queue, MAX_TRIED))])  # see `parking.bring_back`
    for (place,) in found.rows:
        (locked,) = tx.send([Query(LOCK_GATE_LINE, (place, queue))])
        for (most,) in locked.rows:
            yield to_text(place), number(most)


def mark_granted(tx: Transaction, gates: LockedGates, rules: Sequence[Rule], id_: str) -> None:
    """Take the slots of a parked job that has just been claimed."""
    gates.enter(tx, rules, id_)
    tx.later(Query(MARK_GATED, (id_,)))


def sweep(session: Session) -> bool:
    """Delete some void slots. Returns whether there may be more."""
    void = session.read(Query(VOID_SLOTS))[0].rows
    if void:
        session.transact(lambda tx: tx.later(BatchQuery(DELETE_VOID_SLOT, sorted(void))))
    return len(void) >= MAX_DELETED


def uses(session: Session, most: int) -> dict[str, tuple[int, int, int]]:
    """Return the gates that have taken slots, at most `most`, by key: the limit, how many slots are
    taken, and how many were ever taken."""
    found = session.read(Query(USED_GATES, (most,)))[0].rows
    return {
        to_text(key): (number(limit), number(used), number(all_))
        for key, limit, used, all_ in found
    }
