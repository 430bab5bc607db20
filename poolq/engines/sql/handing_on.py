"""Hands a worker's slot of a gate on to its next job, by one statement.

Taking a slot anew needs a transaction that counts the gate's slots (`sql/gates.py`). But a worker
that runs one job of a key after the other has a row of a slot already, whose job is done. If it
gives this row to the next job, there are no more rows than before. So while the gate has no more
rows than slots, nothing has to be counted, whether the old claim is settled or not.

This is only done while the gate's window row is `plain`: it has no more rows than slots, no job
waits in a line, and there is no hold. Whoever changes one of these first locks the window row, and
resets `plain` in the same transaction. A hand-over locks the row in share mode. So it happens
before that change or not at all; and several of them may happen at once.

The row of a job that is done is nobody else's, because its job can never be claimed again. Only the
engine object that took a slot knows of it; whatever it forgets, costs only time.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

from poolq.engines.base import Claim, EndedSlots, Settlement
from poolq.engines.sql import admitting
from poolq.engines.sql.gates import LEAVE, VACATE, Leaving, lock_gates, slot_name
from poolq.engines.sql.location import claimed_by, line_of
from poolq.engines.sql.session import Query, Session, Transaction
from poolq.errors import EngineUnavailable
from poolq.jobs.concurrency import GATE_WINDOW, gates_of, is_gate
from poolq.jobs.limits import ADMITTED, Admission, Rule
from poolq.jobs.retry import Ack, Done

#: After an attempt that failed, at least and at most so many jobs of the key take slots anew.
MIN_ANEW, MAX_ANEW = 16, 1024
#: Of how many keys slots are remembered.
MAX_KNOWN = 1000

#: Neither subquery may be an EXISTS, which MySQL could turn into a join.
HAND_ON = f"""UPDATE {{slots}} SET id = ?, request = ?, idx = ?, handed = handed + 1
    WHERE name = ? AND seat = ? AND id = ? AND place = ? AND request IN (?, -1) AND idx = ?
    AND (SELECT 1 FROM {{jobs}}
        WHERE id = ? AND place = ? AND request = ? AND idx = ? {{lock}}) = 1
    AND (SELECT 1 FROM {{windows}} WHERE name = ? AND span = {GATE_WINDOW} AND most = ?
        AND plain = 1 {{share}}) = 1"""
#: Locks what it looks for, so that it waits for a transaction that has just stored such a row.
MARK_PLAIN = f"""UPDATE {{windows}} SET plain = 1 WHERE name = ? AND span = {GATE_WINDOW}
    AND (SELECT COUNT(*) FROM {{lines}} WHERE place = ? {{lock}}) = 0
    AND (SELECT COUNT(*) FROM {{holds}} WHERE name = ? {{lock}}) = 0"""


def hand_on(rule: Rule, slot: "KnownSlot", worker: str, claim: Claim) -> Query:
    """Return a statement that changes a row only if the slot now belongs to the claim."""
    key, place = rule.key, claimed_by(worker)
    id_, request, index = claim[:3]
    old_id, old_request, old_index = slot.claim[:3]
    old = old_id, place, old_request, old_index
    args = (id_, request, index, key, slot.seat, *old, id_, place, request, index, key, rule.limit)
    return Query(HAND_ON, args)


def mark_plain(tx: Transaction, rule: Rule) -> None:
    """Allow that slots of the gate are handed on, if that is right."""
    key = rule.key
    gates, _ = lock_gates(tx, [rule])
    taken, most = len(gates.taken[key]), gates.most[key]
    if taken + len(gates.void[key]) > most:
        gates.delete_void(tx, key)
    if taken <= most:
        tx.later(Query(MARK_PLAIN, (key, line_of(rule), key)))


@dataclass(slots=True)
class KnownSlot:
    """A slot that a worker took. `seat`: what its row is called. `claim`: who has it. `left`: the
    name of the last claim that had it and ended; its job is done. `handed`: how often the slot was
    handed on. `anew`: how many more jobs of the key take slots anew before another attempt."""

    seat: str
    claim: Claim
    left: tuple[str, int, int] | None = None
    handed: int = 0
    anew: int = 1
    _pause: int = MIN_ANEW // 2
    _streak: int = 0

    def note_handed(self) -> None:
        self.handed += 1
        self._streak += 1

    def note_refused(self) -> None:
        """Compute after how many jobs of the key to try again: ever later, if it is in vain."""
        self._pause = MIN_ANEW if self._streak > self._pause else min(2 * self._pause, MAX_ANEW)
        self._streak, self.anew = 0, self._pause

    @property
    def is_free(self) -> bool:
        """Whether nobody has it. The watcher may find this out while another claim takes it."""
        return self.left == self.claim[:3]

    def ends_in(self, ended: Sequence[EndedSlots]) -> bool:
        """Return whether it is among these slots, and its claim has no others."""
        mine = self.claim[:3]
        return any(claim[:3] == mine and len(rules) == 1 for claim, rules in ended)


class KnownSlots:
    """The slots that this engine object's workers took last, by worker and key. `open`: by job,
    those that are not free. The watcher's thread may settle while the main thread takes a slot."""

    def __init__(self) -> None:
        self.open: dict[str, tuple[str, str]] = {}
        self._by_key: OrderedDict[tuple[str, str], KnownSlot] = OrderedDict()

    def get(self, worker: str, key: str) -> KnownSlot | None:
        return self._by_key.get((worker, key))

    def take(self, worker: str, key: str, slot: KnownSlot, claim: Claim) -> None:
        """Record that the slot belongs to the claim."""
        name = worker, key
        self.open.pop(slot.claim.id, None)
        slot.claim = claim
        self.open[claim.id] = name
        self._by_key[name] = slot
        self._by_key.move_to_end(name)
        if len(self._by_key) > MAX_KNOWN:
            _, oldest = self._by_key.popitem(last=False)
            self.open.pop(oldest.claim.id, None)

    def note_settled(self, settlements: Sequence[Settlement], stale: Sequence[str]) -> None:
        """Record that the claims of these settlements have ended."""
        if not self.open:
            return
        for claim, outcome in settlements:
            name = self.open.get(claim.id)
            slot = self._by_key.get(name) if name else None
            if name is None or slot is None or slot.claim[:3] != claim[:3]:
                continue
            if type(outcome) in (Ack, Done) and claim.id not in stale:
                self.open.pop(claim.id, None)
                slot.left = claim[:3]
            else:
                self._forget(*name)

    def forget(self, worker: str) -> None:
        for owner, key in list(self._by_key):
            if owner == worker:
                self._forget(owner, key)

    def _forget(self, worker: str, key: str) -> None:
        slot = self._by_key.pop((worker, key), None)
        if slot is not None:
            self.open.pop(slot.claim.id, None)

    def leaving(
        self, worker: str, ended: Sequence[EndedSlots], but: KnownSlot | None = None
    ) -> list[Query]:
        """Return statements that free these slots, except one."""
        found: list[tuple[str, str, Sequence[object]]] = []
        for claim, rules in ended:
            for key in {rule.key for rule in gates_of(rules)}:
                slot = self.get(worker, key)
                if slot is None or slot.claim[:3] != claim[:3]:
                    found.append((key, LEAVE, slot_name(key, claim.id, worker, claim)))
                elif slot is not but:
                    sql = VACATE if slot.handed else LEAVE
                    found.append((key, sql, slot_name(key, slot.seat, worker, claim)))
        return [Query(sql, name) for _, sql, name in sorted(found, key=itemgetter(0))]


def admit(
    session: Session,
    slots: KnownSlots,
    rules: Sequence[Rule],
    held: tuple[str, Claim] | None,
    ended: Sequence[EndedSlots],
) -> Admission:
    """See `Engine.admit`. A claim that has a single rule, a gate, is admitted by a slot that its
    worker has, if possible."""

    def anew(leaving: Leaving) -> Admission:
        work = partial(admitting.admit, rules=rules, held=held, leaving=leaving)
        return session.transact(work, gives_way=True)

    if held is None:
        return anew(Leaving())
    (worker, claim), known = held, None
    is_single = len(rules) == 1 and is_gate(rules[0]) and not claim.asks
    if is_single:
        known = slots.get(worker, rules[0].key)
        ends = known is not None and known.ends_in(ended)
        if known and (ends or known.is_free):
            left = [] if ends and len(ended) == 1 else slots.leaving(worker, ended, but=known)
            return _go_on(session, slots, (known, rules[0], *held), left, anew)
    admission = anew(Leaving(slots.leaving(worker, ended)))
    if is_single and known is None and not admission.wait and not admission.stale:
        slots.take(worker, rules[0].key, KnownSlot(claim.id, claim), claim)
    return admission


def _go_on(
    session: Session,
    slots: KnownSlots,
    asking: tuple[KnownSlot, Rule, str, Claim],
    leaves: list[Query],
    anew: Callable[[Leaving], Admission],
) -> Admission:
    """Hand a slot on to a worker's claim or, if that cannot be, free it and take it anew. `leaves`:
    the statements that free others."""
    slot, rule, worker, claim = asking
    if not slot.anew:
        if session.change(hand_on(rule, slot, worker, claim), *leaves):
            slot.note_handed()
            slots.take(worker, rule.key, slot, claim)
            return ADMITTED
        slot.note_refused()
    slot.anew -= 1
    if not slot.is_free:
        leaves.append(Query(VACATE, slot_name(rule.key, slot.seat, worker, slot.claim)))
    admission = anew(Leaving(leaves, slot.seat))
    slot.left = slot.claim[:3]
    if not admission.wait and not admission.stale:
        slots.take(worker, rule.key, slot, claim)
        if not slot.anew:
            with suppress(EngineUnavailable):  # the job is admitted, whatever becomes of this
                session.transact(lambda tx: mark_plain(tx, rule))
    return admission
