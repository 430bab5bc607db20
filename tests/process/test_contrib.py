"""Integrations in a real pool: Flask, SQLAlchemy, log lines, and one event loop a worker."""

from __future__ import annotations

import signal
from collections import defaultdict

import pytest

from tests.process.conftest import MakeProject
from tests.process.engines import on, sqlite
from tests.support.wait import until

FLASK = """
import flask, poolq
from poolq.contrib.flask import init_app
from tests.support.ledger import note

def create_app(sender):
    app = flask.Flask("shop")
    app.config["SENDER"] = sender
    init_app(app)
    return app

create_app("nobody")
create_app("test@example.com")
app = create_app("shop@example.com")

@app.teardown_appcontext
def teardown(error):
    note("teardown", flask.g.get("job", "?"))

class Mail(poolq.Job):
    attempts = 2

    def run(self):
        note(f"first:{'job' not in flask.g}:{flask.current_app.config['SENDER']}", self.id)
        flask.g.job = self.id
        if self.attempt == 1:
            raise ValueError("again")

    def on_success(self):
        note(f"success:{flask.g.job == self.id}", self.id)
"""


@sqlite
def test_a_job_runs_in_a_context_of_the_flask_application(
    make_project: MakeProject, engine_url: str
) -> None:
    project = make_project(engine_url, FLASK)
    project.ready(1)
    (id,) = project.produce("import jobs; print(jobs.Mail.dispatch())").split()
    until(lambda: len(project.ledger.lines("teardown", id)) == 2)
    first = "first:True:shop@example.com"
    expected = [first, "teardown", first, "success:True", "teardown"]
    assert [line.what for line in project.ledger.lines(id=id)] == expected


SQLALCHEMY = """
import os, poolq, sqlalchemy
from poolq.contrib.sqlalchemy import after_fork
from tests.support.ledger import note

engine = sqlalchemy.create_engine(os.environ["SHOP"], pool_size=2)
after_fork(engine)

def connection():
    with engine.connect() as used:
        return used.scalar(sqlalchemy.text("SELECT CONNECTION_ID()"))

note(f"import:{connection()}", "import")

class Query(poolq.Job):
    def run(self):
        note(f"query:{connection()}", self.id)
"""


@on("mariadb")
def test_no_two_processes_use_one_connection_of_sqlalchemy(
    make_project: MakeProject, engine_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = engine_url.partition("://")[2].partition("?")[0]
    monkeypatch.setenv("SHOP", f"mysql+pymysql://{url}")
    project = make_project(engine_url, SQLALCHEMY)
    pool = project.ready(4)
    project.dispatch_many("Query", 200)
    until(project.settled)
    users, used = defaultdict(set), defaultdict(set)
    for line in project.ledger.lines():
        users[line.what.split(":")[1]].add(line.pid)
        used[line.pid].add(line.what)
    assert all(len(pids) == 1 for pids in users.values())
    assert all(len(connections) == 1 for connections in used.values())
    assert len(project.ledger.lines(id="import")) == 1, "the application is preloaded"
    assert "not preloaded" not in pool.log


ASYNC_ENGINE = """
import os, poolq, sqlalchemy
from poolq.contrib.sqlalchemy import after_fork
from sqlalchemy.ext.asyncio import create_async_engine
from tests.support.ledger import note

engine = create_async_engine("sqlite+aiosqlite:///shop.db")
after_fork(engine)
sqlalchemy.event.listen(engine.sync_engine, "connect", lambda *_: note("connects", "-"))

class Query(poolq.Job):
    async def run(self):
        async with engine.connect() as used:
            note(f"query:{await used.scalar(sqlalchemy.text('SELECT 7'))}", self.id)
"""


@sqlite
def test_the_jobs_of_a_worker_share_the_connection_of_an_asynchronous_engine(
    make_project: MakeProject, engine_url: str
) -> None:
    project = make_project(engine_url, ASYNC_ENGINE)
    pool = project.ready(2)
    project.dispatch_many("Query", 50)
    until(project.settled)
    assert project.total("done") == 50
    queries = [line.pid for line in project.ledger.lines("query:7")]
    assert len(queries) == 50
    connected = sorted(line.pid for line in project.ledger.lines("connects"))
    assert connected == sorted({*queries}), "each worker has one connection"
    assert "not preloaded" not in pool.log


ASYNC = """
import asyncio, logging, os, poolq
from poolq.contrib.logs import JobFilter
from tests.support.ledger import note

handler = logging.StreamHandler()
handler.addFilter(JobFilter())
handler.setFormatter(logging.Formatter("%(message)s: %(job)s %(job_id)s %(attempt)s %(queue)s"))
logging.getLogger("shop").addHandler(handler)
streams = []

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()

async def connect():
    server = await asyncio.start_unix_server(serve, f"shop-{os.getpid()}.sock")
    streams.append(await asyncio.open_unix_connection(f"shop-{os.getpid()}.sock"))

@poolq.on.started
async def started():
    await connect()

@poolq.on.stopping
async def stopping():
    streams[0][1].close()
    await streams[0][1].wait_closed()
    note("closed", "stopping")

class Ask(poolq.Job):
    async def run(self):
        reader, writer = streams[0]
        writer.write(f"{self.payload['word']}\\n".encode())
        note((await reader.readline()).decode().strip(), self.id)
        if self.payload["word"] == "leave":
            self.task = asyncio.create_task(self.forever(), name="never")
            await asyncio.sleep(0)
        logging.getLogger("shop").warning("asked")

    async def forever(self):
        await asyncio.Event().wait()

    async def on_success(self):
        streams[0][1].write(b"bye\\n")
        note((await streams[0][0].readline()).decode().strip(), self.id)
"""


@sqlite
def test_the_coroutines_of_a_worker_share_a_loop_and_what_is_open_on_it(
    make_project: MakeProject, engine_url: str
) -> None:
    project = make_project(engine_url, ASYNC)
    pool = project.ready(1)
    words = ("hello", "leave", "again")
    calls = "".join(f"print(jobs.Ask.dispatch({{'word': {word!r}}}));" for word in words)
    ids = project.produce(f"import jobs; {calls}").split()
    until(project.settled)
    until(lambda: len(project.ledger.lines("BYE")) == 3)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    for id, word in zip(ids, words, strict=True):
        assert [line.what for line in project.ledger.lines(id=id)] == [word.upper(), "BYE"]
        assert f"asked: jobs:Ask {id} 1 default" in pool.log
    warning = f"job {ids[1]} has left tasks behind, which were cancelled: Ask.forever"
    assert warning in pool.log
    assert pool.log.count("has left tasks behind") == 1
    assert len(project.ledger.lines("closed")) == 1
