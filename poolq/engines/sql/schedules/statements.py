"""The statements for schedules on an SQL database; see `store.py`."""

from poolq.common.lengths import MAX_HASH_BYTES, MAX_SPEC_BYTES
from poolq.engines.schedule_store import FORGET_AFTER, NEVER, REMOVED

#: A spec that is too long is not read.
_MINE = f"""s.name, s.hash, CASE WHEN LENGTH(s.spec) <= {MAX_SPEC_BYTES} THEN s.spec END,
    s.due, s.at, s.declared, s.paused, s.last, s.job, s.ticks, s.skipped"""
_COLUMNS = _MINE.replace("s.", "")
_LIVING = "SELECT 1 FROM {declared} d, {nodes} n WHERE n.node = d.node AND d.name"
#: Due schedules. The last column: whether a person has added the schedule, or a living node
#: declares it.
DUE = f"""SELECT {_MINE}, s.declared = 0 OR EXISTS ({_LIVING} = s.name) FROM {{schedules}} s
    WHERE s.at <= {{now}} ORDER BY s.at, s.name LIMIT ?"""
NEXT = "SELECT at FROM {schedules} WHERE at > {now} ORDER BY at LIMIT 1"
_NOWHERE = f"NOT EXISTS ({_LIVING} = {{schedules}}.name)"
SET_ASIDE = f"""UPDATE {{schedules}} SET at = {NEVER} WHERE name = ? AND declared = 1
    AND at <= {{now}} AND {_NOWHERE}"""
SET_UNREADABLE_ASIDE = f"UPDATE {{schedules}} SET at = {NEVER} WHERE name = ?"
_REMOVE = f"""UPDATE {{schedules}} SET hash = '{REMOVED}', due = {{now}}, at = {NEVER}, deploy = 0
    WHERE declared = 1 AND hash <> '{REMOVED}' AND {_NOWHERE}"""
MARK_REMOVED = f"{_REMOVE} AND name {{in_list}}"
#: Sets `due` to now: the tick of a paused schedule does not show since when no node declares it.
MARK_PAUSED_REMOVED = f"{_REMOVE} AND paused = 1 AND at = {NEVER}"
FORGET = f"""DELETE FROM {{schedules}} WHERE at = {NEVER} AND declared = 1
    AND due < {{now}} - {FORGET_AFTER} AND {_NOWHERE}"""
LOCK_DECLARATIONS = "SELECT one FROM {schema} WHERE one = 1 {lock}"
STORED = """SELECT name, hash, declared, due, paused, deploy, {now} FROM {schedules}
    WHERE name {in_list}"""
LIVING = f"{_LIVING} = ? LIMIT 1"
NAMES = "SELECT name FROM {declared} WHERE node = ? AND name <> ''"
DECLARE = """INSERT INTO {declared} (node, name, deploy) VALUES (?, ?, ?)
    {on:node, name} deploy = {new:deploy}"""
UNDECLARE = "DELETE FROM {declared} WHERE node = ? AND name {in_list}"
#: If a person replaces a person's schedule, the new one still hides the same declaration.
PUT = """INSERT INTO {schedules} (name, hash, spec, due, at, declared, deploy, paused, last, job,
    ticks, skipped, hidden) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, '', 0, 0, {no_bytes}) {on:name}
    hash = {new:hash}, spec = {new:spec}, due = {new:due},
    deploy = CASE WHEN {new:declared} = 1 THEN {new:deploy} ELSE {schedules}.deploy END,
    hidden = CASE WHEN {schedules}.declared = 1 THEN {no_bytes} ELSE {schedules}.hidden END,
    declared = {new:declared},
    at = CASE WHEN {schedules}.paused = 1 THEN {schedules}.at ELSE {new:at} END"""
#: The same code declares a schedule again. It may have been set aside.
KEEP = f"""UPDATE {{schedules}} SET deploy = ?,
    at = CASE WHEN at = {NEVER} AND paused = 0 THEN due ELSE at END WHERE name = ?"""
HIDE = "UPDATE {schedules} SET hidden = ?, deploy = ? WHERE name = ? AND deploy <= ?"
HIDDEN = f"""SELECT CASE WHEN LENGTH(hidden) <= {MAX_SPEC_BYTES + MAX_HASH_BYTES} THEN hidden END,
    deploy FROM {{schedules}} WHERE name = ?"""
LOCK_SCHEDULE = f"SELECT {_COLUMNS}, {{now}} FROM {{schedules}} WHERE name = ? {{skip}}"
UNFINISHED = "SELECT 1 FROM {jobs} WHERE id = ?"
ADVANCE = """UPDATE {schedules} SET due = ?, at = ?, last = ?, job = ?, ticks = ticks + ?,
    skipped = skipped + ? WHERE name = ?"""
WAIT = "UPDATE {schedules} SET at = ? WHERE name = ?"
PAUSE = f"UPDATE {{schedules}} SET paused = 1, at = {NEVER} WHERE name = ?"
RESUME = f"""UPDATE {{schedules}} SET paused = 0,
    due = CASE WHEN hash = '{REMOVED}' THEN due ELSE ? END,
    at = CASE WHEN hash = '{REMOVED}' THEN at ELSE ? END WHERE name = ? AND paused = 1"""
REMOVE = "DELETE FROM {schedules} WHERE name = ?"
GET = f"SELECT {_COLUMNS} FROM {{schedules}} WHERE name = ?"
ALL = f"SELECT {_COLUMNS} FROM {{schedules}} ORDER BY name"
SOONEST = f"SELECT {_COLUMNS} FROM {{schedules}} ORDER BY at, name LIMIT ?"
#: The row with an empty name says which deploy of the node's code has declared its schedules.
DECLARED = "SELECT deploy FROM {declared} WHERE node = ? AND name = ''"
