"""Gates: limits on how many jobs of a key run at once.

Nothing signals that a slot has become free; this is computed. The slots of a gate are rows of
`slots`, numbered from 0. A row names a claim by the job's id and its `place`, `request` and `idx`.
The row counts only while the job is claimed by exactly this claim. So whatever ends the claim also
frees the slot, and needs no code for gates. The line of a gate is due while the gate has room.
Nobody has to write that it is due, so no wake-up is lost if a job parks while a claim ends. If a
line is not due, each slot of its gate has a claim. So there are no more such lines in a queue than
taken slots, however many keys have lines.

Whoever takes a slot locks the window row (key, GATE_SPAN), and takes the first number whose slot
does not count. The window row's `most` is the limit that the newest code has named (see
`deploys.py`), so the row is kept while jobs wait for the gate. Its `used` is higher than every slot
number that counts, and at least `most`.

A worker that goes on with another job of the key may write the new claim over its old one
(`hand_on`). This changes no other row and counts no slots. On MariaDB it is one statement, and
takes a third of the time that counting takes.
"""

from collections.abc import Iterator, Sequence

import msgspec

from poolq.engines.base import Claim, EndedSlots
from poolq.engines.sanitize import number, to_text, total
from poolq.engines.spans import GATE_SPAN
from poolq.engines.sql.limits.holds import HOLD_OF
from poolq.engines.sql.location import (
    CANCELLED_SUFFIX,
    GATE_SLOT,
    cancelled_at,
    claim_name,
    line_of,
)
from poolq.engines.sql.session import BatchQuery, Query, Row, Session, Transaction
from poolq.jobs.limits import Gate, gates_of

#: How many void slots one sweep deletes.
MAX_DELETED = 2000
#: How many lines of a queue a step tries. Other steps may be serving the first ones.
MAX_TRIED = 8
#: What `jobs.admitted` is for a claim with slots of gates.
ADMITTED_BY_GATE = 2

#: Whether the job `j` is still claimed by the claim of the slot `s`.
IS_HELD = f"""j.request = s.request AND j.idx = s.idx
    AND (j.place || '' = s.place OR j.place || '' = s.place || '{CANCELLED_SUFFIX}')"""
#: Whether the slot `s` counts. As a join, PostgreSQL might read all jobs.
_COUNTS = f"(SELECT 1 FROM {{jobs}} j {{by_id}} WHERE j.id = s.id AND {IS_HELD}) = 1"
_IS_VOID = _COUNTS.replace(" = 1", " IS NULL")
_TAKEN = f"(SELECT COUNT(*) FROM {{slots}} s WHERE s.name = l.name AND {_COUNTS})"
_MOST = f"""COALESCE((SELECT w.most FROM {{windows}} w
    WHERE w.name = l.name AND w.span = {GATE_SPAN}), l.most)"""
#: Whether `l` is the line of a gate that has room, so that it is due.
IS_DUE = f"l.slot >= {GATE_SLOT} AND {_TAKEN} < {_MOST}"

#: Makes or locks the gate's row.
MAKE_GATE = """INSERT INTO {windows} (name, span, most, deploy, start, used, ends)
    VALUES (?, ?, ?, COALESCE((SELECT w.deploy FROM {workers} w WHERE w.worker = ?), 0),
        0, 0, {now}) {on:name, span} ends = {new:ends}"""
#: The limit, the deploy whose code named it, the deploy of the worker that asks, when the key's
#: hold ends, and the slots that count, as "<number> <job id>" separated by commas.
READ_GATE = f"""SELECT most, deploy,
    COALESCE((SELECT w.deploy FROM {{workers}} w WHERE w.worker = ?), 0), ({HOLD_OF}),
    (SELECT {{in_one_text:s.number || ' ' || s.id}} FROM {{slots}} s
        WHERE s.name = ? AND {_COUNTS})
    FROM {{windows}} WHERE name = ? AND span = {GATE_SPAN}"""
HOLD_COLUMN = 3
#: MySQL evaluates the assignments from left to right, so `used` is at least the old limit. If the
#: limit becomes lower, no slot is handed on before the slots are counted.
NAME_LIMIT = """UPDATE {windows} SET used = {greatest}(used, most), most = ?, deploy = ?
    WHERE name = ? AND span = ?"""
SAVE_GATE = "UPDATE {windows} SET used = ?, starts = starts + 1 WHERE name = ? AND span = ?"
TAKE_SLOT = """INSERT INTO {slots} (name, number, id, place, request, idx)
    SELECT ?, ?, id, place, request, idx FROM {jobs} WHERE id = ?
    {on:name, number} id = {new:id}, place = {new:place}, request = {new:request}, idx = {new:idx}
    """
_OF_CLAIM = "name = ? AND id = ? AND place = ? AND request = ? AND idx = ?"
#: Frees the slot of a claim that ends a little later.
FREE_SLOT = f"UPDATE {{slots}} SET request = -1 WHERE {_OF_CLAIM}"
#: The subqueries about the new claim and the gate lock what they read. So this statement happens
#: entirely before or after a count of the slots, but several such statements may happen at once.
#: The other subqueries may miss what is being written at the same time, which then counts as later
#: than this statement. No subquery may be an EXISTS, because MySQL could turn it into a join. A MIN
#: is found in the index before the statement is planned, so it costs less than a COUNT.
HAND_ON = f"""UPDATE {{slots}} SET id = ?, request = ?, idx = ?, handed = handed + 1
    WHERE {_OF_CLAIM} AND number < ?
    AND (SELECT 1 FROM {{jobs}}
        WHERE id = ? AND place || '' = ? AND request = ? AND idx = ? AND admitted = 0 {{lock}}) = 1
    AND (SELECT 1 FROM {{windows}} WHERE name = ? AND span = {GATE_SPAN} AND most = ?
        AND used <= most {{share}}) = 1
    AND (SELECT {{any:place}} FROM {{lines}} WHERE place = ?) IS NULL
    AND (SELECT {{any:name}} FROM {{holds}} WHERE name = ?) IS NULL"""
#: The same, if the old claim must have been settled.
HAND_ON_SETTLED = f"""{HAND_ON} AND (SELECT COUNT(*) FROM {{jobs}}
    WHERE id = ? AND place || '' IN (?, ?) AND request = ? AND idx = ?) = 0"""
MARK_GATED = f"UPDATE {{jobs}} SET admitted = {ADMITTED_BY_GATE} WHERE id = ?"
#: The lines of a queue whose gates have room, the one served least recently first.
FIRST_LINES = f"""SELECT l.place FROM {{lines}} l {{line:slot}} WHERE {{ordering:l.queue}} = ?
    AND {IS_DUE} ORDER BY l.slot LIMIT ?"""
LOCK_GATE_LINE = "SELECT most, deploy FROM {lines} WHERE place = ? AND queue = ? {skip}"
#: A line's `slot` tells when it was last served, so that keys take turns.
OPEN_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, deploy, since)
    VALUES (?, ?, {GATE_SLOT} + {{now}}, ?, ?, ?, ?, 0)
    {{on:place, queue}}
    most = CASE WHEN {{lines}}.deploy <= {{new:deploy}} THEN {{new:most}} ELSE {{lines}}.most END,
    deploy = {{greatest}}({{lines}}.deploy, {{new:deploy}})"""
SERVED = f"UPDATE {{lines}} SET slot = {GATE_SLOT} + {{now}} WHERE place = ? AND queue = ?"
VOID_SLOTS = f"SELECT s.name, s.number FROM {{slots}} s WHERE {_IS_VOID} LIMIT {MAX_DELETED}"
#: Before a void slot is deleted, adds to the window row how often the slot was handed on. This
#: locks the window row, so nobody takes the slot meanwhile.
COUNT_HANDED = f"""UPDATE {{windows}} SET starts = starts + COALESCE((SELECT s.handed
        FROM {{slots}} s WHERE s.name = ? AND s.number = ? AND {_IS_VOID}), 0)
    WHERE name = ? AND span = {GATE_SPAN}"""
DELETE_VOID_SLOT = f"""DELETE FROM {{slots}} WHERE name = ? AND number = ?
    AND {_IS_VOID.replace("s.", "{slots}.")}"""
#: How many slots of each gate are taken, and the gate's limit.
USED_GATES = f"""SELECT u.name, w.most, u.used, w.starts
        + (SELECT SUM(o.handed) FROM {{slots}} o WHERE o.name = u.name) FROM
    (SELECT s.name, COUNT(*) AS used FROM {{slots}} s WHERE {_COUNTS}
        GROUP BY s.name ORDER BY s.name LIMIT ?) u
    JOIN {{windows}} w ON w.name = u.name AND w.span = {GATE_SPAN}"""


class LockedGate(msgspec.Struct):
    """A gate, locked until the transaction ends. `most`: the limit that counts. `deploy`: the
    deploy whose code named it. `asking`: the deploy of the worker that asks. `taken`: the numbers
    of the slots that count, by job. `is_closed`: whether it admits no job, as earlier ones wait."""

    key: str
    most: int
    deploy: int
    asking: int
    taken: dict[str, int]
    is_closed: bool = False

    @classmethod
    def read(cls, key: str, row: Row, is_closed: bool) -> "LockedGate":
        """`row`: the row that READ_GATE has found."""
        slots = [one.partition(" ") for one in to_text(row[-1]).split(",")] if row[-1] else []
        taken = {id_: number(at) for at, _, id_ in slots}
        most, deploy, asking = map(number, row[:3])
        return cls(key, most, deploy, asking, taken, is_closed)

    def name_limit(self, tx: Transaction, most: int) -> None:
        """Apply the limit that the asking worker's code names, unless newer code has named one."""
        if self.most != most and self.deploy <= self.asking:
            self.most, self.deploy = most, self.asking
            tx.later(Query(NAME_LIMIT, (most, self.deploy, self.key, GATE_SPAN)))

    def has_room(self, id_: str) -> bool:
        return not self.is_closed and len(self.taken) - (id_ in self.taken) < self.most

    def take(self, tx: Transaction, id_: str) -> None:
        """Take a slot for a job, which must be claimed by the time the changes are sent."""
        if id_ not in self.taken:
            numbers = set(self.taken.values())
            self.taken[id_] = next(at for at in range(self.most) if at not in numbers)
        used = max(self.most, *(at + 1 for at in self.taken.values()))
        saved = Query(SAVE_GATE, (used, self.key, GATE_SPAN))
        tx.later(Query(TAKE_SLOT, (self.key, self.taken[id_], id_)), saved)


def free(
    worker: str, ended: Sequence[EndedSlots], but: tuple[str, Claim] | None = None
) -> list[Query]:
    """Return statements that free the slots of these claims. `but`: a key and a claim whose slot is
    kept."""
    freed = {(rule.key, claim) for claim, rules in ended for rule in gates_of(rules)} - {but}
    return [Query(FREE_SLOT, (key, *claim_name(worker, claim))) for key, claim in sorted(freed)]


def hand_on(rule: Gate, old: Claim, worker: str, claim: Claim, has_ended: bool) -> Query:
    """Return a statement that changes a row only if the slot of the worker's `old` claim now
    belongs to `claim`. `has_ended`: whether the old claim counts as ended, although it may not be
    settled yet."""
    key, most = rule.key, rule.limit
    mine, its = claim_name(worker, claim), claim_name(worker, old)
    taken = claim.id, claim.request, claim.index, key, *its, most
    args = *taken, *mine, key, most, line_of(rule), key
    if has_ended:
        return Query(HAND_ON, args)
    old_id, place, *rest = its
    return Query(HAND_ON_SETTLED, (*args, old_id, place, cancelled_at(worker), *rest))


def lock_first_lines(tx: Transaction, queue: str, first: str) -> Iterator[tuple[str, int, int]]:
    """Lock the first lines of the queue whose gates have room, one by one. Skips lines that another
    step is about to serve. Yields the place of each line, its limit, and the deploy whose code has
    named the limit. `first`: the place of the first line."""
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
