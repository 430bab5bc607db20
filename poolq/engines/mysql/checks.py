"""The checks of `poolq doctor` for a MySQL or MariaDB server."""

import re

from poolq.engines.base import Check, ServerInfo
from poolq.engines.mysql.schema import MySQLSchema
from poolq.engines.mysql.session import MySQLSession
from poolq.engines.sanitize import to_text
from poolq.engines.sql import effects
from poolq.engines.sql.servers import clock_check
from poolq.engines.sql.session import Query
from poolq.errors import ConfigError

MIN_VERSIONS = {"MariaDB": (10, 6, 0), "MySQL": (8, 0, 1)}

VARIABLES = """SHOW VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation',
    'innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog', 'binlog_format', 'read_only',
    'innodb_deadlock_detect', 'wsrep_on', 'max_allowed_packet')"""

#: Whether SYSDATE() goes on during a statement. With the server's option --sysdate-is-now it does
#: not, and MySQL has no variable that shows this option.
SYSDATE_GOES_ON = "SELECT SLEEP(0.002), SYSDATE(6) > NOW(6)"
BINLOG = "SHOW VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format')"


def checks(session: MySQLSession, schema: MySQLSchema) -> list[Check]:
    found = _variables(session, VARIABLES)
    versions, clock, sysdate = session.read(
        Query("SELECT VERSION()"), Query("SELECT {now}"), Query(SYSDATE_GOES_ON)
    )
    return [
        _version(to_text(versions.rows[0][0])),
        schema.check(),
        *effects.checks(session),
        _isolation(found.get("transaction_isolation") or found.get("tx_isolation", "?")),
        _durability(found),
        _primary(found),
        _binlog(found),
        _cluster(found),
        Check("packet", "ok", f"max_allowed_packet is {found.get('max_allowed_packet')} bytes"),
        clock_check(clock.rows[0][0]),
        _sysdate(goes_on=bool(sysdate.rows[0][1])),
    ]


def server(session: MySQLSession) -> ServerInfo:
    (versions,) = session.read(Query("SELECT VERSION()"))
    text = to_text(versions.rows[0][0]).removeprefix("5.5.5-")
    return ServerInfo(f"{_kind(text)} {text.partition('-')[0]}")


def _kind(version: str) -> str:
    return "MariaDB" if "mariadb" in version.lower() else "MySQL"


def _variables(session: MySQLSession, sql: str) -> dict[str, str]:
    return {to_text(name): to_text(value) for name, value in session.read(Query(sql))[0].rows}


def _version(text: str) -> Check:
    kind = _kind(text)
    numbers = re.findall(r"\d+", text.removeprefix("5.5.5-"))[:3]
    needed = MIN_VERSIONS[kind]
    if tuple(map(int, numbers)) >= needed:
        return Check("version", "ok", f"{kind} {text}")
    return Check("version", "bad", f"{kind} {text}; poolq needs {'.'.join(map(str, needed))}")


def _isolation(level: str) -> Check:
    if level == "READ-COMMITTED":
        return Check("isolation", "ok", "READ COMMITTED on poolq's connections")
    return Check("isolation", "bad", f"{level}, although poolq has set READ COMMITTED; is there a"
                 " proxy between poolq and the server?")  # fmt: skip


def _durability(found: dict[str, str]) -> Check:
    flush, binlog = found.get("innodb_flush_log_at_trx_commit"), found.get("sync_binlog")
    setting = f"innodb_flush_log_at_trx_commit is {flush}"
    if flush == "0":
        return Check("durability", "warn", f"{setting}: a crash of the server loses up to a"
                     " second of accepted jobs; set it to 1")  # fmt: skip
    if flush != "1":
        return Check("durability", "warn", f"{setting}: a power cut loses up to a second of"
                     " accepted jobs; set it to 1")  # fmt: skip
    if found.get("log_bin") == "ON" and binlog != "1":
        return Check("durability", "ok", f"{setting}; sync_binlog is {binlog}: replicas may"
                     " miss the last commits before a power cut")  # fmt: skip
    return Check("durability", "ok", f"{setting}: every commit waits for the disk")


def _primary(found: dict[str, str]) -> Check:
    if found.get("read_only", "OFF") in ("OFF", "0"):
        return Check("primary", "ok", "this server accepts writes")
    return Check("primary", "bad", "read_only is on: this is a replica; use the primary")


def _binlog(found: dict[str, str]) -> Check:
    form = found.get("binlog_format", "ROW")
    if found.get("log_bin") != "ON" or form != "STATEMENT":
        return Check("binlog", "ok", "accepts what poolq writes")
    return Check("binlog", "bad", f"binlog_format is {form}, with which the server rejects writes"
                 " in READ COMMITTED; set it to ROW or MIXED")  # fmt: skip


def _sysdate(*, goes_on: bool) -> Check:
    if goes_on:
        return Check("sysdate", "ok", "SYSDATE() is the time at which it is called")
    return Check("sysdate", "bad", "the server was started with --sysdate-is-now, so a statement"
                 " that waits for a lock sees an old time, and rate limits are exceeded; remove"
                 " the option")  # fmt: skip


def refuse_server(session: MySQLSession, redacted_url: str) -> None:
    """Raise ConfigError if the server would refuse poolq's writes, or if limits were exceeded."""
    (sysdate,) = session.read(Query(SYSDATE_GOES_ON))
    goes_on = bool(sysdate.rows[0][1])
    for check in (_binlog(_variables(session, BINLOG)), _sysdate(goes_on=goes_on)):
        if check.level == "bad":
            raise ConfigError(f"{redacted_url}: {check.text}")


def _cluster(found: dict[str, str]) -> Check:
    if found.get("wsrep_on") == "ON":
        return Check("cluster", "warn", "Galera: let all workers use the same server, because"
                     " servers do not share locks")  # fmt: skip
    if found.get("innodb_deadlock_detect", "ON") != "ON":
        return Check("cluster", "warn", "innodb_deadlock_detect is off: deadlocks cost 3 s each")
    return Check("cluster", "ok", "all clients of this server share its locks")
