"""100 dispatches in a transaction of the application, beside the same INSERTs sent bare:
`python -m benchmarks.within psycopg|sqlalchemy|django TRANSACTIONS`.

Runs in a process of its own, with poolq's settings from the environment. What is bare is poolq's
INSERT with the same columns, through the same layer as one would write it by hand: one cursor or
one statement for all, and arguments that were built before. Whole transactions take turns, from
their begin to their end. Printed is one line of JSON: dispatches and INSERTs a second.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import poolq
from benchmarks.dispatching import pushes
from benchmarks.peers.poolq import Noop, prepare
from benchmarks.work import PAYLOAD, URL

MANY, WARM_UP = 100, 5
INSERT = """INSERT INTO poolq_jobs (id, place, due_at, queue, history, body, expires_at)
    VALUES ({}, '', (extract(epoch FROM statement_timestamp()) * 1000000)::bigint, {},
    ''::bytea, {}, NULL)"""
Rows = list[tuple[str, str, bytes]]
#: How a layer dispatches so many jobs in a transaction, and how it inserts rows.
Acts = tuple[Callable[[], None], Callable[[Rows], None]]


def dispatch(connection: Any) -> None:
    with poolq.within(connection):
        for _ in range(MANY):
            Noop.dispatch(PAYLOAD)


def on_psycopg() -> Acts:
    import psycopg

    line, sql = psycopg.connect(URL), INSERT.format("%s", "%s", "%s").encode()

    def own() -> None:
        with line.transaction():
            dispatch(line)

    def bare(rows: Rows) -> None:
        with line.transaction(), line.cursor() as cursor:
            for row in rows:
                cursor.execute(sql, row)

    return own, bare


def on_sqlalchemy() -> Acts:
    from sqlalchemy import create_engine, text

    line = create_engine(URL.replace("postgresql:", "postgresql+psycopg:", 1)).connect()
    insert = text(INSERT.format(":id", ":queue", ":body"))

    def own() -> None:
        with line.begin():
            dispatch(line)

    def bare(rows: Rows) -> None:
        with line.begin():
            for id_, queue, body in rows:
                line.execute(insert, {"id": id_, "queue": queue, "body": body})

    return own, bare


def on_django() -> Acts:
    import django
    from django.conf import settings
    from django.db import connection, transaction

    parts = urlsplit(URL)
    place = {"HOST": parts.hostname, "PORT": parts.port, "USER": parts.username}
    place |= {"PASSWORD": parts.password or "", "NAME": parts.path[1:]}
    settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **place}})
    django.setup()  # else, each statement of both kinds warns
    sql = INSERT.format("%s", "%s", "%s")

    def own() -> None:
        with transaction.atomic():
            dispatch("default")

    def bare(rows: Rows) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            for row in rows:
                cursor.execute(sql, row)

    return own, bare


LAYERS = {"psycopg": on_psycopg, "sqlalchemy": on_sqlalchemy, "django": on_django}


def main(layer: str, transactions: int) -> dict[str, float]:
    prepare()
    own, bare = LAYERS[layer]()
    found: list[tuple[float, float]] = []
    for _ in range(WARM_UP + transactions):
        rows = [(str(one.id), one.queue, one.body) for one in pushes(MANY)]
        began = perf_counter()
        own()
        between = perf_counter()
        bare(rows)
        found.append((between - began, perf_counter() - between))
    owns, bares = zip(*found[WARM_UP:], strict=True)
    return {"poolq": MANY / median(owns), "bare": MANY / median(bares)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]))) + "\n")
