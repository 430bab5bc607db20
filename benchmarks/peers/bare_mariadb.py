"""The ceilings on MariaDB: PyMySQL and no framework. `batch`: 100 are marked as taken and deleted
when they are done, in the transaction that takes the next ones. `one-by-one`: the loop that people
write, which claims a job in one transaction and deletes it in another. The table has no index but
its primary key, which is the cheapest where all jobs are ready; with BENCH_INDEX=yes it has that of
(state, id) which people give it.
"""

import json
import os
import sys
from time import sleep

import pymysql

from benchmarks import tally
from benchmarks.work import host_and_port

BATCH = 100
CHUNK = 1000
DEADLOCK = 1213
TABLE = (
    "CREATE TABLE IF NOT EXISTS bare (id BIGINT PRIMARY KEY AUTO_INCREMENT,"
    " state TINYINT NOT NULL DEFAULT 0, body TEXT NOT NULL%s) ENGINE=InnoDB"
)
INDEX = ", KEY ready (state, id)" if os.environ.get("BENCH_INDEX") == "yes" else ""
POP = "SELECT id, body FROM bare WHERE state = 0 ORDER BY id LIMIT %d FOR UPDATE SKIP LOCKED"


def noop(payload: dict[str, object]) -> None:
    tally.count()


JOBS = {"noop": noop}


def connect() -> pymysql.connections.Connection:
    host, port = host_and_port()
    return pymysql.connect(
        host=host,
        port=port,
        user="root",
        database="poolq",
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )


def prepare() -> None:
    with connect() as line, line.cursor() as cursor:
        cursor.execute(TABLE % INDEX)


def fill(payloads: list[dict[str, object]]) -> None:
    made = [(json.dumps({"job": "noop", "payload": payload}),) for payload in payloads]
    with connect() as line, line.cursor() as cursor:
        for start in range(0, len(made), CHUNK):
            cursor.executemany("INSERT INTO bare (body) VALUES (%s)", made[start : start + CHUNK])
            line.commit()


def call(body: str) -> None:
    made = json.loads(body)
    JOBS[made["job"]](made["payload"])


def pop(line: pymysql.connections.Connection, done: str) -> list[tuple[int, str]]:
    """Delete these ids and take a batch; a deadlock (they happen) rolls all of it back."""
    with line.cursor() as cursor:
        if done:
            cursor.execute(f"DELETE FROM bare WHERE id IN ({done})")
        cursor.execute(POP % BATCH)
        found = list(cursor.fetchall())
        if found:
            cursor.execute(f"UPDATE bare SET state = 1 WHERE id IN ({ids(found)})")
    line.commit()
    return found


def ids(found: list[tuple[int, str]]) -> str:
    return ",".join(str(id) for id, _ in found)


def batch() -> None:
    line, done = connect(), ""
    while True:
        try:
            found = pop(line, done)
        except pymysql.OperationalError as error:
            if error.args[0] != DEADLOCK:
                raise
            line.rollback()
            continue
        done = ids(found)
        for _, body in found:
            call(body)
        if not found:
            sleep(0.01)


def one_by_one() -> None:
    line = connect()
    cursor = line.cursor()
    while True:
        cursor.execute(POP % 1)
        found = cursor.fetchone()
        if found is None:
            line.commit()
            sleep(0.01)
            continue
        id, body = found
        cursor.execute("UPDATE bare SET state = 1 WHERE id = %s", (id,))
        line.commit()
        call(body)
        cursor.execute("DELETE FROM bare WHERE id = %s", (id,))
        line.commit()


if __name__ == "__main__":
    sys.exit(batch() if sys.argv[1] == "batch" else one_by_one())
