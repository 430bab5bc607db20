"""A failover to PostgreSQL's standby, and what it lost: transactions that the dead primary had
committed and its standby had not got. As under Sentinel, these are told apart, and counted.
"""

from __future__ import annotations

from threading import Event

import psycopg

from tests.chaos.failover import Facts, Lost, compare
from tests.chaos.restoring import of_rows, read_postgresql
from tests.support.postgresql import PostgreSQL
from tests.support.scratch import Scratch
from tests.support.standby import Standby, acknowledged
from tests.support.wait import until


def fail_over(setup: Standby, scratch: Scratch, namespace: str, behind: float) -> Lost:
    """Kill the primary and promote its standby; returns when the dead one follows it.

    `behind`: seconds for which the standby gets nothing before that; 0: it gets all that is sent.
    The dead one has synced each commit, so its folder has all that it acknowledged. The standby
    takes no writes before it is promoted, and both are looked at before that.
    """
    if behind:
        setup.cut_off()
        Event().wait(behind)
    dead = setup.primary
    dead.kill()
    until(setup.is_at_its_end, 30, "the standby to show all that it has got")
    with acknowledged(dead, scratch.folder("dead")) as copy:
        lost = compare(facts(copy, namespace), facts(setup.standby, namespace))
    setup.promote()
    setup.follow()
    return lost


def facts(server: PostgreSQL, namespace: str) -> Facts:
    with server.connect() as raw:
        raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with raw.transaction():
            return of_rows(read_postgresql(raw, namespace))
