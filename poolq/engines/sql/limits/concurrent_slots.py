"""Gates: at most so many jobs of a key run at once.

Nothing signals that a slot has become free; this is derived. The slots of a gate are rows of
`slots`, numbered from 0. A row names a claim by the job's id and its `place`, `request` and `idx`.
It counts only while the job is claimed by exactly this claim, so whatever ends the claim frees the
slot, in the same act, and need not know of gates. The line of a gate is due while the gate has
room, whatever anybody has written, so no wake-up is lost between a job that parks and a claim that
ends. A line that is not due has a claim for each slot of its gate; so there are no more such lines
than claims, however many keys wait.

A slot is taken with the window row (key, GATE_SPAN) locked: it is the first number whose row
names no claim that counts. The row's `most` is the limit that the newest code has named (see
`deploys.py`), so it is kept while jobs wait for the gate. `used` is above every number that counts,
and at least `most`.

A worker that goes on with another job of the key may write the new claim over its old one, which
changes no other row and counts nothing (`hand_on`). On MariaDB this is one statement, and takes a
third of the time of counting.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from poolq.engines.base import Claim, EndedSlots
from poolq.engines.sanitize import number, to_text, total
from poolq.engines.spans import GATE_SPAN
from poolq.engines.sql.limits import limit_windows
from poolq.engines.sql.limits.holds import holds_query, read_holds, refusal
from poolq.engines.sql.location import (
    CANCELLED_SUFFIX,
    GATE_SLOT,
    cancelled_at,
    claim_name,
    line_of,
)
from poolq.engines.sql.session import BatchQuery, Query, QueryResult, Session, Transaction
from poolq.jobs.limits import GATE_WAIT, Admission, Asked, Gate, gates_of, windows_of

#: How many void slots one sweep deletes.
MAX_DELETED = 2000
#: How many lines of a queue a step tries. Other steps may be serving the first ones.
MAX_TRIED = 8
#: What `jobs.admitted` is for a claim with slots of gates.
ADMITTED_BY_GATE = 2

#: Whether the job `j` is still claimed by the claim of the slot `s`.
IS_HELD = f"""j.request = s.request AND j.idx = s.idx
    AND (j.place = s.place OR j.place = s.place || '{CANCELLED_SUFFIX}')"""
_TAKEN = f"""(SELECT COUNT(*) FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
    WHERE s.name = l.name AND {IS_HELD})"""
_MOST = f"""COALESCE((SELECT w.most FROM {{windows}} w
    WHERE w.name = l.name AND w.span = {GATE_SPAN}), l.most)"""
#: Whether `l` is the line of a gate that has room, so that it is due.
IS_DUE = f"l.slot >= {GATE_SLOT} AND {_TAKEN} < {_MOST}"

#: Locks the row, too, if it is there.
MAKE_GATE = """INSERT INTO {windows} (name, span, most, deploy, start, used, ends)
    VALUES (?, ?, ?, COALESCE((SELECT w.deploy FROM {workers} w WHERE w.worker = ?), 0), 0, 0, 0)
    {on:name, span} span = {new:span}"""
READ_GATE = "SELECT most, deploy FROM {windows} WHERE name = ? AND span = ?"
SAVE_GATE = """UPDATE {windows} SET most = ?, deploy = ?, used = ?, starts = starts + ?,
    start = {now}, ends = {now} WHERE name = ? AND span = ?"""
DEPLOY_OF = "SELECT deploy FROM {workers} WHERE worker = ?"
#: The slots that count.
SLOTS = f"""SELECT s.number, s.id FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
    WHERE s.name = ? AND {IS_HELD}"""
TAKE_SLOT = """INSERT INTO {slots} (name, number, id, place, request, idx)
    SELECT ?, ?, id, place, request, idx FROM {jobs} WHERE id = ?
    {on:name, number} id = {new:id}, place = {new:place}, request = {new:request}, idx = {new:idx}
    """
_OF_CLAIM = "name = ? AND id = ? AND place = ? AND request = ? AND idx = ?"
#: Frees the slot of a claim that ends a little later.
FREE_SLOT = f"UPDATE {{slots}} SET request = -1 WHERE {_OF_CLAIM}"
#: The subqueries about the new claim and the gate lock what they read, so this happens before
#: anybody else counts the slots, or after that; and several of them may happen at once. The others
#: may miss what is being written at that time, which then comes after this. None may be an EXISTS,
#: which MySQL could turn into a join.
HAND_ON = f"""UPDATE {{slots}} SET id = ?, request = ?, idx = ?, handed = handed + 1
    WHERE {_OF_CLAIM} AND number < ?
    AND (SELECT 1 FROM {{jobs}}
        WHERE id = ? AND place = ? AND request = ? AND idx = ? AND admitted = 0 {{lock}}) = 1
    AND (SELECT 1 FROM {{windows}} WHERE name = ? AND span = {GATE_SPAN} AND most = ?
        AND used <= most {{share}}) = 1
    AND (SELECT COUNT(*) FROM {{jobs}}
        WHERE id = ? AND place IN (?, ?) AND request = ? AND idx = ?) <= ?
    AND (SELECT COUNT(*) FROM {{lines}} WHERE place = ?) = 0
    AND (SELECT COUNT(*) FROM {{holds}} WHERE name = ?) = 0"""
MARK_GATED = f"UPDATE {{jobs}} SET admitted = {ADMITTED_BY_GATE} WHERE id = ?"
#: Finds a row if a job of the line comes before this one.
IS_BEHIND = """SELECT 1 FROM (SELECT due_at AS due, id AS first FROM {jobs} {turn}
    WHERE place = ? AND queue = ? ORDER BY due_at, id LIMIT 1) head, {jobs} c {by_id}
    WHERE c.id = ? AND (due < c.due_at OR (due = c.due_at AND first < c.id))"""
#: The lines of a queue whose gates have room, the one served least recently first.
FIRST_LINES = f"""SELECT l.place FROM {{lines}} l {{line:slot}} WHERE l.queue = ? AND {IS_DUE}
    ORDER BY l.queue, l.slot LIMIT ?"""
LOCK_GATE_LINE = "SELECT most, deploy FROM {lines} WHERE place = ? AND queue = ? {skip}"
#: A line's `slot` tells when it was last served, so that keys take turns.
OPEN_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, deploy, since)
    VALUES (?, ?, {GATE_SLOT} + {{now}}, ?, ?, ?, ?, 0)
    {{on:place, queue}} most = CASE WHEN deploy <= {{new:deploy}} THEN {{new:most}} ELSE most END,
    deploy = {{greatest}}(deploy, {{new:deploy}})"""
SERVED = f"UPDATE {{lines}} SET slot = {GATE_SLOT} + {{now}} WHERE place = ? AND queue = ?"
VOID_SLOTS = f"""SELECT s.name, s.number
    FROM {{slots}} s LEFT JOIN {{jobs}} j {{by_id}} ON j.id = s.id
    WHERE j.id IS NULL OR NOT ({IS_HELD}) LIMIT {MAX_DELETED}"""
#: Counts in the window row how often a void slot has been handed on, before the slot is deleted. As
#: this locks the row, the slot remains void.
COUNT_HANDED = f"""UPDATE {{windows}} SET starts = starts + COALESCE((SELECT s.handed
        FROM {{slots}} s WHERE s.name = ? AND s.number = ? AND NOT EXISTS
        (SELECT 1 FROM {{jobs}} j WHERE j.id = s.id AND {IS_HELD})), 0)
    WHERE name = ? AND span = {GATE_SPAN}"""
DELETE_VOID_SLOT = f"""DELETE FROM {{slots}} WHERE name = ? AND number = ? AND NOT EXISTS
    (SELECT 1 FROM {{jobs}} j WHERE j.id = {{slots}}.id AND {IS_HELD.replace("s.", "{slots}.")})"""
#: How many slots of each gate are taken, and the gate's limit.
USED_GATES = f"""SELECT u.name, w.most, u.used, w.starts
        + (SELECT SUM(o.handed) FROM {{slots}} o WHERE o.name = u.name) FROM
    (SELECT s.name, COUNT(*) AS used FROM {{slots}} s JOIN {{jobs}} j {{by_id}} ON j.id = s.id
        WHERE {IS_HELD} GROUP BY s.name ORDER BY s.name LIMIT ?) u
    JOIN {{windows}} w ON w.name = u.name AND w.span = {GATE_SPAN}"""


class LockedGate(msgspec.Struct):
    """A gate, locked until the transaction ends. `most`: the limit that counts. `deploy`: which
    deploy's code has named it. `taken`: the numbers of the slots that count, by job."""

    key: str
    most: int
    deploy: int
    taken: dict[str, int]

    def has_room(self, id_: str) -> bool:
        return len(self.taken) - (id_ in self.taken) < self.most

    def take(self, tx: Transaction, id_: str) -> None:
        """Take a slot for a job that is claimed when the changes are sent."""
        if id_ not in self.taken:
            numbers = set(self.taken.values())
            self.taken[id_] = next(at for at in range(self.most) if at not in numbers)
        tx.later(Query(TAKE_SLOT, (self.key, self.taken[id_], id_)))
        self.save(tx, starts=1)

    def save(self, tx: Transaction, starts: int = 0) -> None:
        used = max([self.most, *(at + 1 for at in self.taken.values())])
        limit = self.most, self.deploy, used
        tx.later(Query(SAVE_GATE, (*limit, starts, self.key, GATE_SPAN)))


#: Locked gates, by key.
LockedGates = Mapping[str, LockedGate]


def lock_gates(
    tx: Transaction, rules: Iterable[Asked], *queries: Query, worker: str = ""
) -> tuple[LockedGates, list[QueryResult]]:
    """Lock the gates among these rules, in the order of their keys, and run `queries` after that,
    in the same round trip. Returns the gates and the answers."""
    named = {rule.key: rule.limit for rule in gates_of(rules)}
    keys = sorted(named)
    tx.later(*(Query(MAKE_GATE, (key, GATE_SPAN, named[key], worker)) for key in keys))
    reads = [Query(READ_GATE, (key, GATE_SPAN)) for key in keys]
    found = tx.run(*reads, *(Query(SLOTS, (key,)) for key in keys), *queries)
    gates = {}
    for key, gate, slots in zip(keys, found, found[len(keys) :], strict=False):
        taken = {to_text(id_): number(at) for at, id_ in slots.rows}
        most, deploy = map(number, gate.rows[0])
        gates[key] = LockedGate(key, most, deploy, taken)
    return gates, found[2 * len(keys) :]


def refusing(gates: LockedGates, rules: Sequence[Asked], id_: str) -> int | None:
    """Return the position of the first gate that has no room for the job, or None."""
    for at, rule in enumerate(rules):
        if isinstance(rule, Gate) and not gates[rule.key].has_room(id_):
            return at
    return None


def take(tx: Transaction, gates: LockedGates, rules: Sequence[Asked], id_: str) -> None:
    """Take a slot of each gate among the rules."""
    for rule in gates_of(rules):
        gates[rule.key].take(tx, id_)


def admit(
    tx: Transaction, rules: Sequence[Asked], clock: Query, held_by: tuple[str, Claim]
) -> Admission | None:
    """Take a slot of each gate and a start of each window, or nothing. Returns None if `clock`, a
    query that also locks the job's claim, finds no row. Holds and gates are asked first, because a
    job that they refuse uses no attempt. `held_by`: the worker and its claim."""
    worker, claim = held_by
    mine, id_ = gates_of(rules), claim.id
    behind = [Query(IS_BEHIND, (line_of(rule), claim.queue, id_)) for rule in mine]
    keys = holds_query(rule.key for rule in rules)
    gates, (held, holds, code, *waiting) = lock_gates(
        tx, mine, clock, keys, Query(DEPLOY_OF, (worker,)), *behind, worker=worker
    )
    if not held.rows:
        return None
    refused = refusal(rules, read_holds(holds), number(held.rows[0][0]))
    if refused is not None:
        return refused
    _name_limits(tx, gates, mine, number(code.rows[0][0]) if code.rows else 0)
    at = refusing(gates, rules, id_)
    if at is None:
        firsts = zip(mine, waiting, strict=True)
        at = next((rules.index(rule) for rule, first in firsts if first.rows), None)
    if at is not None:
        return Admission(GATE_WAIT, at)
    windows = windows_of(rules)
    admission = limit_windows.admit(tx, windows) if windows else Admission(0)
    assert admission is not None  # SERVER_CLOCK always has a row
    if admission.wait:
        return admission._replace(rule=rules.index(windows[admission.rule]))
    take(tx, gates, rules, id_)
    return admission


def _name_limits(tx: Transaction, gates: LockedGates, rules: Sequence[Asked], deploy: int) -> None:
    """Apply the limits that code of this deploy names, unless newer code has named others."""
    for rule in rules:
        gate = gates[rule.key]
        if gate.most != rule.limit and gate.deploy <= deploy:
            gate.most, gate.deploy = rule.limit, deploy
            gate.save(tx)


def free(
    worker: str, ended: Sequence[EndedSlots], but: tuple[str, Claim] | None = None
) -> list[Query]:
    """Return statements that free the slots of these claims. `but`: a key and a claim whose slot is
    left."""
    freed = {(rule.key, claim) for claim, rules in ended for rule in gates_of(rules)} - {but}
    return [Query(FREE_SLOT, (key, *claim_name(worker, claim))) for key, claim in sorted(freed)]


def hand_on(rule: Gate, old: Claim, worker: str, claim: Claim, has_ended: bool) -> Query:
    """Return a statement that changes a row only if the slot of the worker's `old` claim now
    belongs to `claim`. `has_ended`: whether the old claim counts as ended, although it may not be
    settled yet."""
    key, most = rule.key, rule.limit
    mine, its = claim_name(worker, claim), claim_name(worker, old)
    old_id, place, *rest = its
    was_held = old_id, place, cancelled_at(worker), *rest, int(has_ended)
    args = (claim.id, claim.request, claim.index, key, *its, most, *mine, key, most, *was_held)
    return Query(HAND_ON, (*args, line_of(rule), key))


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


def mark_granted(tx: Transaction, gates: LockedGates, rules: Sequence[Asked], id_: str) -> None:
    """Take the slots of a parked job that has just been claimed."""
    take(tx, gates, rules, id_)
    tx.later(Query(MARK_GATED, (id_,)))


def sweep(session: Session) -> bool:
    """Delete some void slots. Returns whether there may be more."""
    void = sorted(session.read(Query(VOID_SLOTS))[0].rows)
    if void:
        handed = BatchQuery(COUNT_HANDED, [(name, at, name) for name, at in void])
        session.transact(lambda tx: tx.later(handed, BatchQuery(DELETE_VOID_SLOT, void)))
    return len(void) >= MAX_DELETED


def uses(session: Session, most: int) -> dict[str, tuple[int, int, int]]:
    """Return the gates that have taken slots, at most `most`, by key: the limit, how many slots are
    taken, and how many were ever taken."""
    found = session.read(Query(USED_GATES, (most,)))[0].rows
    return {
        to_text(key): (number(limit), number(used), total(all_)) for key, limit, used, all_ in found
    }
