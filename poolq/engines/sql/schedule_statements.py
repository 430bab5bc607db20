"""The statements for schedules on an SQL database; see `schedules.py`."""

from poolq.common.lengths import MAX_SPEC_BYTES
from poolq.engines.schedule_store import FORGET_AFTER, NEVER, REMOVED

#: A spec that is too long is not read.
_MINE = f"""s.name, s.hash, CASE WHEN LENGTH(s.spec) <= {MAX_SPEC_BYTES} THEN s.spec END,
    s.due, s.at, s.declared, s.paused, s.last, s.job, s.ticks, s.skipped"""
_COLUMNS = _MINE.replace("s.", "")
_JOINED = """{schedules} s LEFT JOIN {declared} d ON d.node = ? AND d.name = s.name
    WHERE s.at <= {now}"""
DUE = f"""SELECT {_MINE} FROM {_JOINED} AND (s.declared = 0 OR d.hash = s.hash)
    ORDER BY s.at, s.name LIMIT ?"""
#: Schedules that are due, but not for this node.
DUE_ELSEWHERE = f"""SELECT s.name FROM {_JOINED} AND s.declared = 1
    AND (d.hash IS NULL OR d.hash <> s.hash) ORDER BY s.at, s.name LIMIT 50"""
NEXT = "SELECT at FROM {schedules} WHERE at > {now} ORDER BY at LIMIT 1"
#: COALESCE keeps SQLite from reading all that the node declares: few are pending. What waits for
#: the end of a person's schedule is left out.
PENDING = """SELECT d.name, d.hash, d.spec FROM {declared} d LEFT JOIN {schedules} s
    ON s.name = d.name AND s.declared = 0
    WHERE d.pending = 1 AND COALESCE(d.node, '') = ? AND s.name IS NULL LIMIT ?"""
_LIVING = """SELECT 1 FROM {declared} d, {nodes} n
    WHERE n.node = d.node AND d.name = {schedules}.name"""
SET_ASIDE = f"""UPDATE {{schedules}} SET at = {NEVER} WHERE name = ? AND declared = 1
    AND at <= {{now}} AND NOT EXISTS ({_LIVING} AND d.hash = {{schedules}}.hash)"""
SET_UNREADABLE_ASIDE = f"UPDATE {{schedules}} SET at = {NEVER} WHERE name = ?"
SKIP_UNREADABLE = "UPDATE {declared} SET pending = 0 WHERE node = ? AND name = ?"
_REMOVE = f"""UPDATE {{schedules}} SET hash = '{REMOVED}', due = {{now}}, at = {NEVER}
    WHERE declared = 1 AND hash <> '{REMOVED}' AND NOT EXISTS ({_LIVING})"""
MARK_REMOVED = f"{_REMOVE} AND name IN {{list}}"
#: The tick of a paused schedule does not tell for how long no node has declared it.
MARK_PAUSED_REMOVED = f"{_REMOVE} AND paused = 1 AND at = {NEVER}"
FORGET = f"""DELETE FROM {{schedules}} WHERE at = {NEVER} AND declared = 1
    AND due < {{now}} - {FORGET_AFTER} AND NOT EXISTS ({_LIVING})"""
LOCK_DECLARATIONS = "SELECT one FROM {schema} WHERE one = 1 {lock}"
STORED = """SELECT name, hash, declared, due, at, paused, {now} FROM {schedules}
    WHERE name IN {list}"""
RIVALS = """SELECT d.name, d.hash FROM {declared} d, {nodes} n
    WHERE n.node = d.node AND d.node <> ? AND d.name IN {list}"""
OWN = "SELECT name, hash FROM {declared} WHERE node = ?"
DECLARE = """INSERT INTO {declared} (node, name, hash, pending, spec) VALUES (?, ?, ?, ?, ?)
    {on:node, name} hash = {new:hash}, pending = {new:pending}, spec = {new:spec}"""
UNDECLARE = "DELETE FROM {declared} WHERE node = ? AND name IN {list}"
PUT = """INSERT INTO {schedules} (name, hash, spec, due, at, declared, paused, last, job, ticks,
    skipped) VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', 0, 0) {on:name}
    hash = {new:hash}, spec = {new:spec}, due = {new:due}, declared = {new:declared},
    at = CASE WHEN paused = 1 THEN at ELSE {new:at} END"""
WAKE_UP = "UPDATE {schedules} SET at = due WHERE name IN {list} AND paused = 0"
LOCK_SCHEDULE = f"SELECT {_COLUMNS}, {{now}} FROM {{schedules}} WHERE name = ? {{skip}}"
UNFINISHED = "SELECT id FROM {jobs} WHERE id IN {list}"
ADVANCE = """UPDATE {schedules} SET due = ?, at = ?, last = ?, job = ?, ticks = ticks + ?,
    skipped = skipped + ? WHERE name = ?"""
WAIT = "UPDATE {schedules} SET at = ? WHERE name = ?"
STORE_JOB = """INSERT INTO {jobs} (id, place, queue, due_at, expires_at, history, body)
    VALUES (?, ?, ?, ?, ?, x'', ?)"""
PAUSE = f"UPDATE {{schedules}} SET paused = 1, at = {NEVER} WHERE name = ?"
RESUME = f"""UPDATE {{schedules}} SET paused = 0,
    due = CASE WHEN hash = '{REMOVED}' THEN due ELSE ? END,
    at = CASE WHEN hash = '{REMOVED}' THEN at ELSE ? END WHERE name = ? AND paused = 1"""
REMOVE = "DELETE FROM {schedules} WHERE name = ?"
GET = f"SELECT {_COLUMNS} FROM {{schedules}} WHERE name = ?"
PAGE = f"SELECT {_COLUMNS} FROM {{schedules}} WHERE name > ? ORDER BY name LIMIT 1000"
SOONEST = f"SELECT {_COLUMNS} FROM {{schedules}} ORDER BY at, name LIMIT ?"
COUNT = "SELECT COUNT(*) FROM {schedules}"
#: The row of `declared` that contains the digest of all others of its node, and which generation of
#: its code has declared them.
DIGEST = "SELECT hash, spec FROM {declared} WHERE node = ? AND name = ''"
