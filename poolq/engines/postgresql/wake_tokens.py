"""Wake-up tokens in a table of their own, instead of `armed` and `seen` of the queue's row.

Steps and waiters read and change the token of a queue, and PostgreSQL keeps all versions of a row
while somebody holds a snapshot open. So each change gives the row the next number `n`. Whoever
reads it begins at the newest number, and meets no old version.
"""

from types import MappingProxyType

from poolq.engines.sql.queues.idle_queues import DELETE_QUEUES
from poolq.engines.sql.queues.queue_discovery import (
    ARMED_AND_SEEN,
    NO_ROW,
    STATE_AND_NEXT,
    STATES,
    STATES_FROM,
)
from poolq.engines.sql.queues.wakeups import ADD_ARMED, ARM, RESUME_QUEUE, TAKE_WAKEUP
from poolq.engines.sql.waiting import NEWEST_ROW, take_token

_TOKEN_OF_QUEUE = NEWEST_ROW.format("armed, seen", "q.queue", "")
_ROW_OF_QUEUE = NEWEST_ROW.format("ctid", "q.queue", "{skip}")


def _with_token(states: str) -> str:
    """Return a query of states that reads the tokens. NO_ROW stands for a missing one."""
    read = states.replace(ARMED_AND_SEEN, f"COALESCE(t.armed, {NO_ROW}), COALESCE(t.seen, 0)")
    row = f" q LEFT JOIN LATERAL {_TOKEN_OF_QUEUE} t ON true"
    return read.replace("{queues} q", "{queues}" + row).replace("OFFSET 0) q", "OFFSET 0)" + row)


def _arm(queues: str) -> str:
    """Return a statement that arms these queues `q`. Whoever has locked a token either arms it, or
    takes it for a worker whose step will arm it."""
    return f"""UPDATE {{tokens}} SET n = n + 1, armed = 1 WHERE armed = 0 AND ctid = ANY(ARRAY(
        SELECT newest.ctid FROM {queues}, LATERAL {_ROW_OF_QUEUE} newest))"""


WAKE_TOKENS = MappingProxyType(
    {
        **{states: _with_token(states) for states in (STATES, STATES_FROM, STATE_AND_NEXT)},
        ADD_ARMED: """WITH given (queue) AS (VALUES (?)), added AS (
                INSERT INTO {queues} (queue, used) SELECT queue, {now} FROM given {unless:queue})
            INSERT INTO {tokens} (queue) SELECT queue FROM given
            WHERE NOT EXISTS (SELECT 1 FROM {tokens} t WHERE t.queue = given.queue)
            {unless:queue, n}""",
        ARM: _arm("unnest(?) q (queue)"),
        RESUME_QUEUE: f"""WITH q AS (UPDATE {{queues}} SET paused = 0 WHERE queue = ?
            RETURNING queue) {_arm("q")}""",
        TAKE_WAKEUP: take_token("?"),
        DELETE_QUEUES: """WITH gone AS (DELETE FROM {queues} WHERE queue {in_list} AND paused = 0
            RETURNING queue) DELETE FROM {tokens} t USING gone WHERE t.queue = gone.queue""",
    }
)
