"""An admission of one rule in one statement, as nearly all are: one round trip, one transaction.

It changes nothing where the window is full, or not there yet, or was made before the clock went
back, or the claim is not held any more;
then it is asked again as the other SQL engines ask. The time is SYSDATE's: that of NOW is the
statement's beginning, and it may have waited for the row since. Assignments are made from left to
right, each with what those before it have made, while one table is updated alone: of an EXISTS
MySQL 8 could make a join. (MariaDB's sql_mode could say otherwise; `connecting.py` sets it.)
"""

from poolq.engines.base import Claim
from poolq.engines.sql.places import claimed_by
from poolq.engines.sql.session import Op
from poolq.jobs.limits import Rule

NOW = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
#: A new window begins at the old one's end or later: so `ends <= start` says that it is new. The
#: claim's row stays locked until the end, as nobody may take the claim away meanwhile.
ADMIT = f"""UPDATE {{windows}} SET most = ?,
    start = IF(used >= ? OR {NOW} >= ends, GREATEST({NOW}, ends), start),
    used = IF(ends <= start, 1, used + 1),
    ends = start + span,
    starts = starts + 1
    WHERE name = ? AND span = ? AND (used < ? OR {NOW} >= ends) AND start <= {NOW}
    AND (SELECT 1 FROM {{jobs}}
        WHERE id = ? AND place = ? AND request = ? AND idx = ? FOR UPDATE) = 1"""


def at_once(rule: Rule, worker: str, claim: Claim) -> Op:
    """Changes a row if the claim may start, and has counted its start then."""
    key, most, span = rule
    name = (claim.id, claimed_by(worker), claim.request, claim.index)
    return Op(ADMIT, (most, most, key, span, most, *name))
