"""Registration of nodes and workers, and the heartbeats of nodes."""

from poolq.engines.base import NodeRecord, Registration
from poolq.engines.claims import first_beat
from poolq.engines.sanitize import blob, number, to_text
from poolq.engines.sql.session import Query, QueryResult, Transaction

ADD_NODE = "INSERT INTO {nodes} (node, beat, info) VALUES (?, ?, ?) {on:node} node = {new:node}"
ADD_WORKER = """INSERT INTO {workers} (worker, node, host, pool, boot, pidns, pid, started, stale)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, {no_bytes}) {on:worker} worker = {new:worker}"""
REGISTERED_WORKERS = """SELECT worker, node, host, pool, boot, pidns, pid, started FROM {workers}
    ORDER BY worker"""
COUNT_BEAT = """INSERT INTO {nodes} (node, beat, info) VALUES (?, ?, ?)
    {on:node} beat = CASE WHEN {nodes}.beat < 2000000000000000000 THEN {nodes}.beat + 1
        ELSE {new:beat} END, info = {new:info}"""
ALL_BEATS = "SELECT node, beat FROM {nodes}"
ALL_NODES = """SELECT n.node, n.beat, n.info,
    (SELECT COUNT(*) FROM {workers} w WHERE w.node = n.node) FROM {nodes} n ORDER BY n.node"""
LOCK_NODE = "SELECT beat FROM {nodes} WHERE node = ? {lock}"
LOCK_NODE_WORKERS = "SELECT worker FROM {workers} WHERE node = ? ORDER BY worker {lock}"
DELETE_NODE = "DELETE FROM {nodes} WHERE node = ?"
#: What a node declares counts only while the node lives. A node that was reaped by mistake declares
#: its schedules again when its workers do.
DELETE_DECLARED = "DELETE FROM {declared} WHERE node = ?"


def register(tx: Transaction, one: Registration) -> None:
    tx.later(Query(ADD_NODE, (one.node, first_beat(), b"")), Query(ADD_WORKER, one))


def registered(found: QueryResult) -> list[Registration]:
    """Read the rows of REGISTERED_WORKERS."""
    make = Registration._make
    return [make((*map(to_text, row[:6]), *map(number, row[6:]))) for row in found.rows]


def beat(tx: Transaction, node: str, info: bytes) -> dict[str, int]:
    (found,) = tx.run(Query(COUNT_BEAT, (node, first_beat(), info)), Query(ALL_BEATS))[1:]
    return {to_text(name): number(beats) for name, beats in found.rows}


def nodes(found: QueryResult) -> list[NodeRecord]:
    """Read the rows of ALL_NODES."""
    return [
        NodeRecord(to_text(node), number(beats), blob(info), workers)
        for node, beats, info, workers in found.rows
    ]


def leave(tx: Transaction, node: str) -> None:
    """Delete a node if it has no workers. Locks it first, because a worker may be registering."""
    (_, found) = tx.run(Query(LOCK_NODE, (node,)), Query(LOCK_NODE_WORKERS, (node,)))
    if not found.rows:
        tx.later(Query(DELETE_NODE, (node,)), Query(DELETE_DECLARED, (node,)))
