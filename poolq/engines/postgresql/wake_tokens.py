"""Wake-up tokens in a table of their own, instead of `armed` and `seen` of the queue's row.

Steps and waiters read and change the token of a queue, and PostgreSQL keeps all versions of a row
while somebody holds a snapshot open. So each change gives the row the next number `n`. Whoever
reads it begins at the newest number, and meets no old version.
"""

from types import MappingProxyType

from poolq.engines.sql.queues import wakeups
from poolq.engines.sql.queues.idle_queues import DELETE_QUEUES
from poolq.engines.sql.queues.queue_discovery import (
    ARMED_AND_SEEN,
    NO_ROW,
    STATE_AND_NEXT,
    STATES,
    STATES_FROM,
)

_NEWEST = "(SELECT {} FROM {{tokens}} WHERE queue = {} ORDER BY n DESC LIMIT 1 {})"
_TOKEN_OF_QUEUE = _NEWEST.format("armed, seen", "q.queue", "")
_ROW_OF_QUEUE = _NEWEST.format("ctid", "q.queue", "{skip}")


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


def _take(due: str, found: str = "") -> str:
    """Return a statement that takes a queue's token. `found`: what has `due`, if not a `?`."""
    return f"""UPDATE {{tokens}} SET n = n + 1, armed = 0,
        seen = CASE WHEN seen < {due} OR seen > {{now}} THEN {due} ELSE seen END {found}
        WHERE ctid = {_NEWEST.format("ctid", "?", "")}
        AND (armed > 0 OR seen < {due} OR seen > {{now}})"""


#: Lets the commit not wait for the disk, also without BEGIN.
UNSYNCED = "SELECT set_config('synchronous_commit', 'off', true)"
#: Takes the wake-up of a queue that has ready jobs from a due time on. Returns how many it has.
TAKE_TOLD = f"""WITH found AS (
    SELECT ({wakeups.COUNT_WAKEUPS}) AS jobs, ({wakeups.LATEST_READY}) AS due FROM {{queues}}
    WHERE queue = ? AND paused = 0 AND ({UNSYNCED}) = 'off')
    {_take("due", "FROM found")} AND jobs > 0 RETURNING jobs"""

WAKE_TOKENS = MappingProxyType(
    {
        **{states: _with_token(states) for states in (STATES, STATES_FROM, STATE_AND_NEXT)},
        wakeups.ADD_ARMED: """WITH given (queue) AS (VALUES (?)), added AS (
                INSERT INTO {queues} (queue, used) SELECT queue, {now} FROM given {unless:queue})
            INSERT INTO {tokens} (queue) SELECT queue FROM given
            WHERE NOT EXISTS (SELECT 1 FROM {tokens} t WHERE t.queue = given.queue)
            {unless:queue, n}""",
        wakeups.ARM: _arm("unnest(?) q (queue)"),
        wakeups.RESUME_QUEUE: f"""WITH q AS (UPDATE {{queues}} SET paused = 0 WHERE queue = ?
            RETURNING queue) {_arm("q")}""",
        wakeups.TAKE_WAKEUP: _take("?"),
        DELETE_QUEUES: """WITH gone AS (DELETE FROM {queues} WHERE queue {in_list} AND paused = 0
            RETURNING queue) DELETE FROM {tokens} t USING gone WHERE t.queue = gone.queue""",
    }
)
