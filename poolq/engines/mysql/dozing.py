"""Waiting in the server: MariaDB looks for itself until something is due, and then answers.

So a wait costs one exchange, not one for each look. Whether what is due is news is the waiter's
question (`sql/waking.py`), who looks again. MySQL knows no statements outside of stored programs.
"""

from collections.abc import Sequence

from poolq.engines.sql.around import EARLIEST
from poolq.engines.sql.places import DELAYED, QUEUED
from poolq.engines.sql.session import Op
from poolq.engines.sql.skipping import next_after
from poolq.engines.sql.waking import DELAY, READY, SLOT

OPEN = "NOT EXISTS (SELECT 1 FROM {queues} p WHERE p.queue = name AND p.paused = 1)"
#: Each turn of the loop has a NOW and a view of the tables of its own.
SERVED = f"""BEGIN NOT ATOMIC
    DECLARE turns INT DEFAULT ?;
    WHILE turns > 0 AND NOT EXISTS (SELECT 1 FROM {{queues}} q
        WHERE q.queue IN {{list}} AND q.paused = 0
        AND ({READY} IS NOT NULL OR {DELAY} <= {{now}} OR {SLOT} <= {{now}})
    ) DO
        DO SLEEP(? / 1000000);
        SET turns = turns - 1;
    END WHILE;
END"""
#: From queue to queue that has jobs, as `sql/skipping.py` does it: to the server that makes the
#: plan, a variable's value is known.
DOZE = f"""BEGIN NOT ATOMIC
    DECLARE turns INT DEFAULT ?;
    DECLARE found INT DEFAULT 0;
    DECLARE name VARBINARY(255);
    WHILE turns > 0 AND found = 0 DO
        SET found = COALESCE({EARLIEST} <= {{now}}, 0);
        SET name = '';
        WHILE found = 0 AND name IS NOT NULL DO
            SET name = ({next_after(QUEUED, "name")});
            SET found = name IS NOT NULL AND {OPEN};
        END WHILE;
        SET name = '';
        WHILE found = 0 AND name IS NOT NULL DO
            SET name = ({next_after(DELAYED, "name")});
            SET found = name IS NOT NULL AND {OPEN} AND COALESCE((SELECT MIN(j.due_at)
                FROM {{jobs}} j WHERE j.place = 'd' AND j.queue = name) <= {{now}}, 0);
        END WHILE;
        IF found = 0 THEN
            DO SLEEP(? / 1000000);
        END IF;
        SET turns = turns - 1;
    END WHILE;
END"""


def doze(queues: Sequence[str] | None, turns: int, pause: float) -> Op:
    """Ends when one of these queues has something due, else after so many pauses of so many
    seconds."""
    micros = int(pause * 1e6)
    if queues is None:
        return Op(DOZE, (turns, micros))
    return Op(SERVED, (turns, list(queues), micros))
