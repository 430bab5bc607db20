"""The ceiling on PostgreSQL: psycopg and no framework, on poolq's own table, with its index and its
sessions' settings. A batch of 100 is deleted when it is done, in the transaction that claims the
next one; both statements, prepared, and the commit are one pipeline.
"""

import json
import subprocess
import sys
from time import sleep, time_ns

import psycopg

from benchmarks import tally
from benchmarks.work import URL

BATCH = 100
SETTINGS = "-c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off"
SETTINGS += " -c enable_bitmapscan=off"
ROWS = "COPY poolq_jobs (id, place, due_at, queue, history, body) FROM STDIN (FORMAT BINARY)"
TYPES = ("text", "text", "bigint", "text", "bytea", "bytea")
DELETE = "DELETE FROM poolq_jobs WHERE id = ANY(%s)"
CLAIM = """WITH found AS MATERIALIZED (
    SELECT id FROM poolq_jobs WHERE place = '' AND queue = 'default'
    ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED
) UPDATE poolq_jobs SET place = %s FROM found WHERE poolq_jobs.id = found.id
  RETURNING poolq_jobs.id, body"""


def noop(payload: dict[str, object]) -> None:
    tally.count()


JOBS = {"noop": noop}


def connect() -> psycopg.Connection:
    return psycopg.connect(URL, options=SETTINGS)


def prepare() -> None:
    command = [sys.executable, "-m", "poolq", "db", "migrate", f"--engine={URL}"]
    subprocess.run(command, check=True, stdout=2)


def copy(line: psycopg.Connection, bodies: list[bytes]) -> None:
    """Store jobs by COPY, in one transaction."""
    now = time_ns() // 1000
    with line.cursor() as cursor:
        with cursor.copy(ROWS) as rows:
            rows.set_types(TYPES)
            for number, body in enumerate(bodies):
                rows.write_row((f"{now:016x}{number:016x}", "", now, "default", b"", body))
        line.commit()


def fill(payloads: list[dict[str, object]]) -> None:
    with connect() as line:
        copy(line, [json.dumps({"job": "noop", "payload": one}).encode() for one in payloads])


def drain() -> None:
    with connect() as line, line.cursor(binary=True) as delete, line.cursor(binary=True) as claim:
        place, done = f"w:{line.info.backend_pid}", list[str]()
        while True:
            with line.pipeline():
                if done:
                    delete.execute(DELETE, (done,), prepare=True)
                claim.execute(CLAIM, (BATCH, place), prepare=True)
                line.commit()
            found = claim.fetchall()
            for _, body in found:
                made = json.loads(body)
                JOBS[made["job"]](made["payload"])
            done = [id for id, _ in found]
            if not found:
                sleep(0.01)


if __name__ == "__main__":
    drain()
