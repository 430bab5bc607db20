"""The limits of some jobs, locked until the transaction ends, and what they let start.

The gates are locked first, then the windows, each sorted by name, which avoids deadlocks. Then the
clock is read, and holds. Holds are not locked: a hold that is being stored at that moment does not
count before the next start.
"""

from collections.abc import Collection, Sequence
from functools import cache
from itertools import repeat

import msgspec

from poolq.engines.sanitize import number
from poolq.engines.spans import GATE_SPAN
from poolq.engines.sql.limits.concurrent_slots import (
    HOLD_COLUMN,
    MAKE_GATE,
    READ_GATE,
    LockedGate,
)
from poolq.engines.sql.limits.holds import HOLD_OF, refusal

from poolq.engines.sql.limits.limit_windows import (  # isort: skip
    LOCK_WINDOW, WindowName,
    make_queries, read_log, save_query, window_name,
)  # fmt: skip
from poolq.engines.sql.session import Query, Transaction
from poolq.jobs.limits import (
    ADMITTED,
    GATE_WAIT,
    MAX_LIMIT,
    Admission,
    Asked,
    Gate,
    Rule,
    StartLog,
    gates_of,
    take,
    windows_of,
)

#: Stands in place of a `claim_clock` if no claim asks.
CLOCK = Query("SELECT 1, {clock}")


class LockedLimits(msgspec.Struct):
    """`most`: the limits of the windows, as the rules name them. `starts`: the starts in each
    window. `added`: as how many starts the new ones count. `gates`: the gates by key. `now`: the
    server's time. `holds`: when the holds of keys end. `overrides`: limits that people have set."""

    most: dict[WindowName, int]
    now: int
    gates: dict[str, LockedGate] = {}
    starts: dict[WindowName, StartLog] = {}
    added: dict[WindowName, int] = {}
    holds: dict[str, int] = {}
    overrides: dict[WindowName, int] = {}

    def overridden(self, rule: Rule) -> Rule:
        """Return the rule with the limit that a person has set in place of its own, if any."""
        return rule.overridden(self.overrides.get(window_name(rule)))

    def admit(self, rules: Sequence[Asked], id_: str) -> Admission:
        """Take one start of each window, or none at all. Holds and gates take precedence, because a
        job that they refuse uses no attempt. If several windows refuse, the answer names the one
        that refuses for longest. Rules that share a window count a start once. The slots of gates
        are left to `take_slots`."""
        refused = refusal(rules, self.holds, self.now) if self.holds else None
        if refused is not None:
            return refused
        refused = ADMITTED
        taken: dict[WindowName, tuple[StartLog, int]] = {}
        for at, rule in enumerate(rules):
            if isinstance(rule, Gate):
                if not self.gates[rule.key].has_room(id_):
                    return Admission(GATE_WAIT, at)
                continue
            name = window_name(rule)
            mine = self.overridden(rule) if self.overrides else rule
            log, wait = take(mine, self.starts[name], self.now)
            taken[name] = log, mine.counted
            if wait > refused.wait:
                refused = Admission(wait, at, until=self.now + wait, limit=mine.limit)
        if not refused.wait:
            for name, (log, counted) in taken.items():
                self.starts[name] = log
                self.added[name] = self.added.get(name, 0) + counted
        return refused

    def name_limits(self, tx: Transaction, rules: Sequence[Asked]) -> None:
        """Apply the limits of gates that the asking worker's code names, unless they are held."""
        if not (self.holds and refusal(rules, self.holds, self.now)):
            for rule in gates_of(rules):
                self.gates[rule.key].name_limit(tx, rule.limit)

    def take_slots(self, tx: Transaction, rules: Sequence[Asked], id_: str) -> None:
        """Take a slot of each gate, for a job that `admit` has let in. The job is claimed when the
        changes are sent."""
        for rule in gates_of(rules):
            self.gates[rule.key].take(tx, id_)

    def save_starts(self, tx: Transaction) -> None:
        """Save the windows in which a start was taken."""
        for name, count in self.added.items():
            tx.later(save_query(name, self.most[name], self.starts[name], count, self.now))

    def slot_ends(self, rules: Sequence[Asked]) -> int:
        """Return until when a job may use the starts that it was given, if it is given back
        unstarted. For a sliding window, the job must ask again, because its start counts from the
        time when it was taken."""
        return min(
            self.now + 1 if rule.sliding else self.starts[window_name(rule)][0][0] + rule.window
            for rule in windows_of(rules)
        )


@cache
def _beside(clock: str, sql: str) -> str:
    """Return one statement for both: the time is read once the limits are locked."""
    return f"{clock}, {sql.removeprefix('SELECT ')}"


def lock_limits(
    tx: Transaction,
    windows: Collection[Rule],
    gates: Sequence[Gate] = (),
    clock: Query = CLOCK,
    worker: str = "",
) -> LockedLimits | None:
    """Lock and read these limits, of which there is at least one. `gates`: sorted. `worker`: who
    asks, if anybody does; `clock` is then its `claim_clock`. Returns None if the claim may not
    ask."""
    most = {window_name(rule): rule.limit for rule in windows}
    names = sorted(most)
    tx.has_windows = True
    queries = [Query(LOCK_WINDOW, name) for name in names]
    for key, limit in gates:
        tx.later(Query(MAKE_GATE, (key, GATE_SPAN, limit, worker)))
        queries.append(Query(READ_GATE, (worker, key, key, key)))
    sql, args = queries[-1]
    queries[-1] = Query(_beside(clock.sql, sql), (*clock.args, *args))
    found = [one.rows for one in tx.run(*queries)]
    if not all(found):
        tx.enter("holds", "overrides")
        tx.later(*make_queries(most))
        found = [one.rows for one in tx.run(*queries)]
    is_held, now, *last = found[-1][0]
    if not is_held:
        return None
    closed = last[: len(gates)] if worker else []
    found[-1] = [tuple(last[len(closed) :])]
    locked = LockedLimits(most, now)
    unsure = set[str]()
    for name, (row,) in zip(names, found, strict=False):
        held, set_most = row[-2:]
        locked.starts[name] = read_log(name, row)
        if set_most and 1 <= number(set_most) <= MAX_LIMIT:
            locked.overrides[name] = number(set_most)
        if held and number(held) > now:
            unsure.add(name[0])
    gate_rows = found[len(names) :]
    for gate, (row,), is_closed in zip(gates, gate_rows, closed or repeat(None), strict=False):
        locked.gates[gate.key] = LockedGate.read(gate.key, row, is_closed is not None)
        if (ends := row[HOLD_COLUMN]) is not None:
            locked.holds[gate.key] = number(ends)
    if unsure:  # HOLD_OF leaves out those from before the clock went back
        ends = zip(unsure, tx.run(*[Query(HOLD_OF, (key,)) for key in unsure]), strict=True)
        locked.holds |= {key: number(one.rows[0][0]) for key, one in ends if one.rows}
    return locked
