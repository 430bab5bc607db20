"""The ceiling on SQLite: sqlite3 and no framework, in WAL mode with synchronous=NORMAL. A batch is
marked as taken and deleted when it is done, in the transaction that takes the next one.
"""

import json
import sqlite3
import sys
from time import sleep

from benchmarks import tally
from benchmarks.work import file

BATCH = 100
TABLE = (
    "CREATE TABLE IF NOT EXISTS jobs"
    " (id INTEGER PRIMARY KEY, state INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL)"
)
INDEX = "CREATE INDEX IF NOT EXISTS ready ON jobs (state, id)"
POP = (
    "UPDATE jobs SET state = 1 WHERE id IN"
    f" (SELECT id FROM jobs WHERE state = 0 ORDER BY id LIMIT {BATCH}) RETURNING id, body"
)


def noop(payload: dict[str, object]) -> None:
    tally.count()


JOBS = {"noop": noop}


def connect() -> sqlite3.Connection:
    line = sqlite3.connect(file(), timeout=60, isolation_level=None)
    line.execute("PRAGMA journal_mode=WAL")
    line.execute("PRAGMA synchronous=NORMAL")
    return line


def prepare() -> None:
    line = connect()
    line.execute(TABLE)
    line.execute(INDEX)
    line.close()


def fill(payloads: list[dict[str, object]]) -> None:
    line = connect()
    made = [(json.dumps({"job": "noop", "payload": payload}),) for payload in payloads]
    line.execute("BEGIN IMMEDIATE")
    line.executemany("INSERT INTO jobs (body) VALUES (?)", made)
    line.execute("COMMIT")


def drain() -> None:
    line = connect()
    done: list[tuple[int]] = []
    while True:
        line.execute("BEGIN IMMEDIATE")
        line.executemany("DELETE FROM jobs WHERE id = ?", done)
        found = line.execute(POP).fetchall()
        line.execute("COMMIT")
        for _, body in found:
            made = json.loads(body)
            JOBS[made["job"]](made["payload"])
        done = [(id,) for id, _ in found]
        if not found:
            sleep(0.01)


if __name__ == "__main__":
    sys.exit(drain())
