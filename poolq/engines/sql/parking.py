"""Parked jobs: lines of those that wait for a slot of a limit, and how a step gives one.

A row of `lines` is a line in one queue and when to try it next (`slot`). It is also the line's
lock: who parks, grants, or takes a parked job away holds it until the end of the transaction, so
a line without jobs can be deleted and no job is ever in a line that has no row.
"""

from collections.abc import Sequence

import msgspec

from poolq.engines.base import Claim
from poolq.engines.sql.places import line_of, word
from poolq.engines.sql.session import Many, Op, Row, Transaction
from poolq.engines.sql.windows import Counters, hold, keep
from poolq.limits import Rule
from poolq.retry import Park

#: How many of a line's first jobs a step looks at for one that no other limit holds back.
TRIED = 3

#: Not by VALUES, with which InnoDB would lock the counter, after the line of another's grant.
OPEN = """INSERT INTO {lines} (place, queue, slot, name, span, most) SELECT ?, queue,
    COALESCE((SELECT CASE WHEN used >= ? THEN ends ELSE 0 END FROM {windows}
        WHERE name = ? AND span = ?), 0), ?, ?, ? FROM {queues} WHERE queue = ?
    {on:place, queue} slot = {least}(slot, {new:slot}), most = {new:most}"""
PARK = "UPDATE {jobs} SET place = ?, due = {now}, rules = ? WHERE id = ?"
MOVE = "UPDATE {jobs} SET place = ? WHERE id = ?"
FIRST = """SELECT place FROM {lines} WHERE queue = ? AND slot <= {now}
    ORDER BY slot LIMIT 1 {lock}"""
HEADS = f"""SELECT id, body, attempt, crashes, failing, history, due, rules
    FROM {{jobs}}
    WHERE place = ? AND queue = ? ORDER BY due, id LIMIT {TRIED} {{lock}}"""
SLOT = "UPDATE {lines} SET slot = ? WHERE place = ? AND queue = ?"
CLOSE = "DELETE FROM {lines} WHERE place = ? AND queue = ?"
HOLD = "SELECT slot FROM {lines} WHERE place = ? AND queue = ? {lock}"
HOLD_ALL = "SELECT place FROM {lines} WHERE queue = ? ORDER BY place {lock}"
ANY = "SELECT 1 FROM {jobs} WHERE place = ? AND queue = ? LIMIT 1"

_rules = msgspec.json.Decoder(tuple[Rule, ...])


def park(tx: Transaction, parked: Sequence[tuple[Claim, Park]]) -> None:
    """Put claimed jobs at the end of their lines."""
    if not parked:
        return
    opened = {}
    for claim, outcome in parked:
        rule = outcome.rules[outcome.refused]
        opened[line_of(rule), claim.queue] = rule
    tx.later(Many(OPEN, [_opening(*line, rule) for line, rule in sorted(opened.items())]))
    rows = []
    for claim, outcome in parked:
        line = line_of(outcome.rules[outcome.refused])
        rows.append((line, msgspec.json.encode(outcome.rules), claim.id))
    tx.later(Many(PARK, rows))


def _opening(place: str, queue: str, rule: Rule) -> Sequence[object]:
    key, most, span = rule
    return (place, most, key, span, key, span, most, queue)


def grant(tx: Transaction, queue: str) -> Row | None:
    """Take a slot for the first job of the queue's first line: as a claim reads it, or None.

    A job that another of its limits holds back moves to that one's line; the line learns when
    to try again. Nothing is claimed here: that is the step's business.
    """
    # Before the settlements that wait to be sent: who locks a line and jobs locks the line first.
    (first,) = tx.send([Op(FIRST, (queue,))])
    if not first.rows:
        return None  # somebody else was here first
    place = word(first.rows[0][0])
    (heads,) = tx.run(Op(HEADS, (place, queue)))
    if not heads.rows:
        tx.later(Op(CLOSE, (place, queue)))
        return None
    jobs = [(row[:-1], _rules.decode(row[-1])) for row in heads.rows]
    counters = hold(tx, {rule for _, rules in jobs for rule in rules})
    assert counters is not None  # the clock always tells
    before = dict(counters)
    for job, rules in jobs:
        admission = counters.admit(rules)
        if not admission.wait:
            keep(tx, counters, before)
            _set_slot(tx, place, queue, rules, counters)
            return job
        refusing = rules[admission.rule]
        slot = counters.now + admission.wait
        if line_of(refusing) == place:
            tx.later(Op(SLOT, (slot, place, queue)))
            return None
        tx.later(Op(OPEN, _opening(line_of(refusing), queue, refusing)))
        tx.later(Op(MOVE, (line_of(refusing), job[0])))
    return None


def _set_slot(
    tx: Transaction, place: str, queue: str, rules: Sequence[Rule], counters: Counters
) -> None:
    """When the slot just taken was the window's last, the line's next one is at its end."""
    for rule in rules:
        window = counters[rule.key, rule.window]
        if line_of(rule) == place and window.used >= rule.limit:
            tx.later(Op(SLOT, (window.start + rule.window, place, queue)))


def close_if_empty(tx: Transaction, place: str, queue: str) -> None:
    """Delete a locked line that the transaction has taken the last job of."""
    if tx.one(ANY, place, queue) is None:
        tx.later(Op(CLOSE, (place, queue)))


def locked_lines(tx: Transaction, queue: str) -> list[str]:
    """Lock every line of a queue."""
    return [word(place) for (place,) in tx.run(Op(HOLD_ALL, (queue,)))[0].rows]
