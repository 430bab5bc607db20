"""Stores new jobs in the lines of their gates, as if workers had parked them there."""

from collections.abc import Sequence

from poolq.engines.sql import gates
from poolq.engines.sql.location import line_of
from poolq.engines.sql.parking import encode_rules
from poolq.engines.sql.session import BatchQuery, Query, Transaction
from poolq.engines.sql.wakeups import arm
from poolq.jobs.concurrency import GATE_WINDOW
from poolq.jobs.concurrent_option import ParkedPush

STORE_PARKED = """INSERT INTO {jobs} (id, place, queue, due_at, expires_at, history, body, rules)
    SELECT ?, ?, ?, {now}, CASE WHEN ? > 0 THEN {now} + ? END, x'', ?, ?"""
#: A new line counts as named by the newest code.
OPEN_LINE = gates.OPEN_LINE.replace("?, 0)", "(SELECT deploys FROM {schema}), 0)")
#: The limit that is named last applies, in all queues, unless workers' code has named one. If
#: that changes, no slot is handed on before the slots have been counted.
NAME_LIMIT = """INSERT INTO {windows} (name, span, most, start, used, ends)
    VALUES (?, ?, ?, 0, 0, {now}) {on:name, span}
    used = {greatest}(used, most), most = CASE WHEN deploy = 0 THEN {new:most} ELSE most END"""


def push_parked(tx: Transaction, pushes: Sequence[ParkedPush]) -> None:
    """Store jobs. Their lines are locked first, sorted by name, and their gates last."""
    lines = {(line_of(rule), push.queue): rule for push, rule in pushes}
    limits = {rule.key: rule.limit for _, rule in pushes}
    rows = [
        (push.id, line_of(rule), push.queue, push.expires, push.expires, push.body,
         encode_rules([rule]))
        for push, rule in pushes
    ]  # fmt: skip
    tx.later(
        *(
            Query(OPEN_LINE, (*line, rule.key, rule.span, rule.limit))
            for line, rule in sorted(lines.items())
        ),
        BatchQuery(STORE_PARKED, rows),
    )
    arm(tx, {push.queue for push, _ in pushes})
    names = [(key, GATE_WINDOW, most) for key, most in sorted(limits.items())]
    tx.at_end(BatchQuery(NAME_LIMIT, names))
