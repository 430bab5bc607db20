"""Waiting in the server: MariaDB looks for itself until something is due, and then answers.

So a wait costs one exchange, not one for each look. Whether what is due is news is the waiter's
question (`sql/waking.py`), who looks again. MySQL knows no statements outside of stored programs.
"""

from collections.abc import Sequence

from poolq.engines.sql.session import Op
from poolq.engines.sql.waking import DELAY, READY, SLOT

#: Each turn of the loop has a NOW and a view of the tables of its own.
DOZE = f"""BEGIN NOT ATOMIC
    DECLARE turns INT DEFAULT ?;
    WHILE turns > 0 AND NOT EXISTS (
        SELECT 1 FROM {{queues}} q WHERE q.paused = 0
            AND ({READY} IS NOT NULL OR {DELAY} <= {{now}} OR {SLOT} <= {{now}})
    ) DO
        DO SLEEP(? / 1000000);
        SET turns = turns - 1;
    END WHILE;
END"""
SERVED = DOZE.replace("q.paused = 0", "q.queue IN {list} AND q.paused = 0")


def doze(queues: Sequence[str] | None, turns: int, pause: float) -> Op:
    """Ends when one of these queues has something due, else after so many pauses of so many
    seconds."""
    micros = int(pause * 1e6)
    if queues is None:
        return Op(DOZE, (turns, micros))
    return Op(SERVED, (turns, list(queues), micros))
