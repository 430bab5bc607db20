"""MySQL and MariaDB only: lost connections that hold locks, deadlocks, URLs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pymysql
import pytest
from pymysql.cursors import Cursor

from poolq.engines.base import Push, Settlement
from poolq.engines.mysql import MySQLEngine
from poolq.engines.mysql.options import parse_url
from poolq.engines.mysql.reconnecting import connect
from poolq.engines.schedule_store import NewSchedule
from poolq.engines.sql.administration.queue_counts import READY_JOBS
from poolq.engines.sql.session import Query
from poolq.errors import ConfigError, EngineError, EngineUnavailable
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import ACK, HoldKey
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    count_of,
    named,
    new_id,
    push,
    stored,
    total,
)
from tests.support.by_hand import rows
from tests.support.servers import MariaDB
from tests.support.wait import until

MIB = 1 << 20


@pytest.fixture
def aside(mysql: MySQLEngine) -> Iterator[ThreadPoolExecutor]:
    """A thread that uses the engine beside the test's own."""
    with ThreadPoolExecutor(1) as threads:
        yield threads
        threads.submit(mysql.close).result()


@pytest.fixture
def worker(mysql: MySQLEngine) -> Worker:
    return Worker(mysql)


def test_the_next_connection_kills_a_lost_one_and_so_releases_its_locks(
    mysql: MySQLEngine, worker: Worker, opened: OpenEngine
) -> None:
    """The server has not noticed the loss, and keeps the locks in case of a COMMIT."""
    push(mysql, "a")
    lost = connect(mysql.options)
    with lost.raw.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT * FROM {mysql.namespace}_workers FOR UPDATE")
    engine: MySQLEngine = opened(mysql.url, mysql.namespace)
    engine._lost_names.append(lost.name)
    worker.engine = engine
    assert named(worker.claim()) == ["a"]
    with pytest.raises(pymysql.Error):
        lost.raw.ping(reconnect=False)
    assert engine._lost_names == []


def test_a_name_without_a_connection_kills_none(mysql: MySQLEngine, opened: OpenEngine) -> None:
    mysql.now()
    engine: MySQLEngine = opened(mysql.url, mysql.namespace)
    engine._lost_names.append("poolq of a server that was started anew")
    engine.now()
    mysql.session.raw.ping(reconnect=False)


def test_a_deadlock_is_retried_unnoticed(
    mysql: MySQLEngine, worker: Worker, aside: ThreadPoolExecutor, cursor: Cursor
) -> None:
    """Another connection locks a job and the step its worker; then each wants the other's lock.
    The other connection has changed more rows, so the server rolls back the step."""
    push(mysql, "a", "b")
    push(mysql, *"x" * 100, queue="r")
    first, second = worker.claim(2)
    done = [Settlement(first, ACK), Settlement(second, ACK)]
    jobs, workers = f"{mysql.namespace}_jobs", f"{mysql.namespace}_workers"
    cursor.execute("BEGIN")
    cursor.execute(f"UPDATE {jobs} SET idx = idx + 1 WHERE queue = 'r'")
    cursor.execute(f"SELECT id FROM {jobs} WHERE id = '{second.id}' FOR UPDATE")
    step = aside.submit(worker.step, *done)
    until(lambda: waiting(mysql, f"DELETE FROM {jobs}"), 5, "the step to wait")
    cursor.execute(f"SELECT worker FROM {workers} FOR UPDATE")
    cursor.execute("COMMIT")
    assert step.result(60).stale == []
    cursor.execute("SHOW ENGINE INNODB STATUS")
    (_, _, status), *_ = cursor.fetchall()
    assert "LATEST DETECTED DEADLOCK" in status
    assert (count_of(mysql).running, total(mysql, "done")) == (0, 2)


def test_a_killed_statement_is_repeated(
    mysql: MySQLEngine, worker: Worker, aside: ThreadPoolExecutor, cursor: Cursor
) -> None:
    """As tools against long queries do; the whole transaction is repeated."""
    push(mysql, "a", "b")
    done = [Settlement(claim, ACK) for claim in worker.claim(2)]
    cursor.execute("BEGIN")
    cursor.execute(f"SELECT id FROM {mysql.namespace}_jobs FOR UPDATE")
    step = aside.submit(worker.step, *done)
    delete = f"DELETE FROM {mysql.namespace}_jobs"
    until(lambda: waiting(mysql, delete), 5, "the step to wait")
    (id,) = waiting(mysql, delete)
    with closing(connect(mysql.options).raw) as raw, raw.cursor() as killing:
        killing.execute(f"KILL QUERY {id}")
    cursor.execute("COMMIT")
    assert step.result(60).stale == []
    assert (count_of(mysql).running, total(mysql, "done")) == (0, 2)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_start_waits_for_a_hold_that_is_being_stored(
    mysql: MySQLEngine, worker: Worker, is_first: bool, aside: ThreadPoolExecutor, cursor: Cursor
) -> None:
    """The hold has found no row of a window without starts, so only the start can notice it."""
    rule, ns, claim = Rule("k", 5, HOUR), mysql.namespace, worker.take("a")
    if not is_first:
        mysql.admit([rule])
    until_when = mysql.now() + HOUR
    cursor.execute("BEGIN")
    cursor.execute(f"INSERT INTO {ns}_holds VALUES ('k', 1, {until_when})")
    cursor.execute(f"UPDATE {ns}_windows SET held = {until_when} WHERE name = 'k'")
    start = aside.submit(mysql.admit, [rule], ("w1", claim))
    stores = f"INSERT INTO {ns}_windows" if is_first else f"UPDATE {ns}_windows"
    until(lambda: waiting(mysql, stores), 30, "the start to wait")
    cursor.execute("COMMIT")
    assert start.result(60).held


#: What a server says that has left its Galera cluster, or whose group has rolled it back.
REFUSALS = {
    1047: "WSREP has not yet prepared node for application use",
    3101: "Plugin instructed the server to rollback the current transaction.",
}


@pytest.mark.parametrize("number", REFUSALS)
def test_a_cluster_that_refuses_writes_for_a_while(
    mysql: MySQLEngine, worker: Worker, number: int, aside: ThreadPoolExecutor, cursor: Cursor
) -> None:
    """A trigger raises the cluster's error. The job's worker may repeat its request, or the engine
    has repeated it already."""
    push(mysql, "a")
    done = [Settlement(claim, ACK) for claim in worker.claim()]
    table = f"{mysql.namespace}_workers"
    cursor.execute(f"CREATE TABLE {table}_tries (at INT) ENGINE = MyISAM")
    cursor.execute(
        f"CREATE TRIGGER {table}_refuses BEFORE UPDATE ON {table} FOR EACH ROW BEGIN"
        f" INSERT INTO {table}_tries VALUES (1);"
        f" SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = {number},"
        f" MESSAGE_TEXT = '{REFUSALS[number]}'; END"
    )

    def tries() -> int:
        return cursor.execute(f"SELECT at FROM {table}_tries")

    step = aside.submit(worker.step, *done)
    until(lambda: tries() > (number == 3101), 5, "the step to be tried")
    if number == 1047:
        with pytest.raises(EngineUnavailable, match="WSREP") as caught:
            step.result(60)
        assert caught.value.maybe_stored is False
    cursor.execute(f"DROP TRIGGER {table}_refuses")
    if number == 1047:
        step = aside.submit(worker.again, *done)
    assert step.result(60).stale == []
    cursor.execute(f"DROP TABLE {table}_tries")
    assert (count_of(mysql).running, total(mysql, "done")) == (0, 1)


@pytest.mark.parametrize("how", ["hold", "step"])
def test_a_hold_is_not_shortened_by_one_that_waits_for_it(
    mysql: MySQLEngine, worker: Worker, how: str, aside: ThreadPoolExecutor, cursor: Cursor
) -> None:
    """It begins when it has the row. By the time at which it was asked for, the other one would
    begin in the future, as if the clock had gone back since."""
    claim = worker.take("a")
    cursor.execute("BEGIN")
    cursor.execute(f"INSERT INTO {mysql.namespace}_holds VALUES ('k', 0, 0)")
    if how == "hold":
        act = aside.submit(mysql.hold, "k", SECOND)
    else:
        act = aside.submit(worker.step, Settlement(claim, HoldKey("k", SECOND)))
    sets = f"INSERT INTO {mysql.namespace}_holds"
    until(lambda: waiting(mysql, sets), 5, "the other to wait")
    now = "UNIX_TIMESTAMP(SYSDATE(6)) * 1000000"
    cursor.execute(f"UPDATE {mysql.namespace}_holds SET start = {now}, ends = {now} + {HOUR}")
    cursor.execute("COMMIT")
    act.result(60)
    assert mysql.hold("k", SECOND) > HOUR - 60 * SECOND


def test_a_schedule_that_is_being_declared_is_not_set_aside(
    mysql: MySQLEngine, aside: ThreadPoolExecutor, cursor: Cursor
) -> None:
    """A look does not see what another transaction is about to declare, and must wait for it."""
    store, ns = mysql.schedules, mysql.namespace
    for node in ("n1", "n2", "n3"):
        mysql.beat(node, b"{}")
    store.declare("n1", 1, [NewSchedule("a", "aa", b"spec", HOUR)])
    mysql.remove_node("n1")
    cursor.execute("BEGIN")
    cursor.execute(f"SELECT one FROM {ns}_schema FOR UPDATE")
    cursor.execute(f"SELECT due FROM {ns}_schedules WHERE name = 'a'")
    cursor.execute(f"INSERT INTO {ns}_declared VALUES ('n2', 'a', 1)")
    look = aside.submit(store.look, 9)
    locks = f"SELECT one FROM {ns}_schema"
    until(lambda: look.done() or waiting(mysql, locks), 5, "the look")
    cursor.execute("COMMIT")
    look.result(60)
    assert [one.state for one in store.all()] == ["active"]
    assert [one.name for one in store.look(9).due] == ["a"]


def waiting(mysql: MySQLEngine, statement: str) -> list[int]:
    """The connections that are running a statement that begins like this."""
    query = "SELECT id FROM information_schema.processlist WHERE info LIKE %s"
    with closing(connect(mysql.options).raw) as raw, raw.cursor() as cursor:
        cursor.execute(query, (f"{statement}%",))
        return [id for (id,) in cursor.fetchall()]


def test_a_job_larger_than_the_server_takes_is_refused_before_it_is_sent(
    mysql: MySQLEngine,
) -> None:
    huge = Push(new_id(), "q", b"x" * (17 * MIB))
    with pytest.raises(EngineError, match="max_allowed_packet") as caught:
        mysql.push([huge])
    assert not isinstance(caught.value, EngineUnavailable)
    assert count_of(mysql).ready == 0


def test_one_id_is_stored_once(mysql: MySQLEngine) -> None:
    one = Push(new_id(), "q", b"a")
    mysql.push([one])
    with pytest.raises(EngineError, match="stored already") as caught:
        mysql.push([Push(new_id(), "q", b"b"), one])
    assert not isinstance(caught.value, EngineUnavailable)
    assert count_of(mysql).ready == 1, "a chunk is stored whole or not at all"
    assert stored(mysql, one.id).body == b"a"


def test_too_many_rows_to_count_are_estimated(mysql: MySQLEngine) -> None:
    push(mysql, *map(str, range(1000)))
    push(mysql, "later", delay=HOUR)
    (ready,) = mysql.session.estimate([Query(READY_JOBS, ("q",))])
    assert 500 <= ready <= 1500


def asked(mysql: MySQLEngine) -> int:
    """How many statements this connection has been sent, without those inside of others."""
    (row,) = rows(mysql, "SHOW SESSION STATUS LIKE 'Questions'")
    return int(row[1])


def test_a_wait_is_a_few_exchanges_and_ends_when_a_job_is_due(
    mysql: MySQLEngine, mariadb_kind: type[MariaDB]
) -> None:
    push(mysql, "paused", queue="p")
    mysql.pause("p")
    push(mysql, "a", delay=900 * MS)
    before = asked(mysql)
    assert mysql.wait(None, 30) == 1
    assert asked(mysql) - before < (32 if mariadb_kind.waits_in_server else 180)  # a look is 3 to 7
    assert count_of(mysql).ready == 1


def test_a_server_that_cannot_wait_is_polled(
    mysql: MySQLEngine, mariadb_kind: type[MariaDB]
) -> None:
    """In this mode MariaDB rejects the statement, as MySQL always does."""
    push(mysql, "a", delay=HOUR)
    if mariadb_kind.waits_in_server:
        mysql.session.read(Query("SET SESSION sql_mode = 'ORACLE'"))
    before = asked(mysql)
    assert mysql.wait(["q"], 3) == 0  # of which a look takes half a second at most, however busy
    assert asked(mysql) - before >= 6


def test_through_the_unix_socket(mysql: MySQLEngine, mariadb_server: MariaDB) -> None:
    url = f"mariadb://root@localhost/poolq?unix_socket={mariadb_server.socket}"
    engine = MySQLEngine(url, mysql.namespace)
    push(mysql, "a")
    try:
        assert count_of(engine).ready == 1
    finally:
        engine.close()


def test_the_settings_of_each_connection(mysql: MySQLEngine) -> None:
    with mysql.session.raw.cursor() as cursor:
        cursor.execute("SHOW VARIABLES WHERE Variable_name RLIKE '^(tx|transaction)_isolation$'")
        isolation = {value for _, value in cursor.fetchall()}
        cursor.execute("SELECT @@time_zone, @@wait_timeout, @@autocommit, @@sql_mode")
        zone, timeout, autocommit, mode = cursor.fetchone() or ()
    assert (isolation, zone, timeout, autocommit) == ({"READ-COMMITTED"}, "+00:00", 60, 1)
    assert "STRICT_ALL_TABLES" in mode


def test_tls_that_verifies_nothing_is_set_up_once(mariadb_server: MariaDB) -> None:
    raws = [connect(parse_url(mariadb_server.url)).raw for _ in range(2)]
    for raw in raws:
        raw.close()
    assert raws[0].ctx is raws[1].ctx


def test_certificates_are_read_if_the_url_names_them(mariadb_server: MariaDB) -> None:
    with pytest.raises(EngineUnavailable, match=r"nowhere\.pem|No such file"):
        connect(parse_url(f"{mariadb_server.url}?ssl_ca=/nowhere.pem"))


def test_all_parts_of_a_url_are_read() -> None:
    found = parse_url(
        "mysql://b%40b:p%3A%2F%E2%82%AC@db.example:3307/my%20jobs?ssl_ca=/ca.pem&ssl=true"
    )
    assert (found.host, found.port, found.user) == ("db.example", 3307, "b@b")
    assert (found.password, found.database) == ("p:/€".encode(), "my jobs")
    assert found.more["ssl_ca"] == "/ca.pem"
    assert "p:" not in repr(found)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:s3cret@host", "names no database"),
        ("mysql://u:s3cret@host/a/b", "names no database"),
        ("mysql://u:s3cret@host:x/a", "port"),
        ("mysql://u:s3cret@host/a?speed=1", "speed"),
        ("mysql://u:s3cret@host/a?charset=latin1", "utf8mb4"),
        ("mysql://u:s3cret@host/a?ssl_ca=", "ssl_ca"),
        ("mysql://u:s3cret@host/a?ssl_verify_cert=perhaps", "ssl_verify_cert"),
    ],
)
def test_a_bad_url_is_one_line_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        MySQLEngine(url, "poolq")
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
