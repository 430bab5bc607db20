"""A user's project on a real engine: its folder with a jobs.py, its producer, and its pools."""

from __future__ import annotations

import fcntl
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from poolq.engines.base import Engine, StoredJob
from poolq.engines.mysql.options import parse_url
from poolq.engines.mysql.reconnecting import connect
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import DEFAULTS
from tests.contract.helpers import open_engine
from tests.support.cli import environment, run_forked
from tests.support.forked import run_code
from tests.support.ledger import FOLDER, Ledger
from tests.support.pool import Pool
from tests.support.wait import until

STANDARD = Path(__file__).with_name("standard_jobs.py")


#: InnoDB shows its transactions as they were when nobody had asked for 0.1 s.
FRESH = "DO SLEEP(0.11)"
RESTING = """SELECT 1 FROM information_schema.innodb_trx JOIN information_schema.processlist
    ON id = trx_mysql_thread_id WHERE command = 'Sleep'"""


def _nobody_rests(raw: pymysql.connections.Connection) -> bool:
    with raw.cursor() as cursor:
        cursor.execute(FRESH)
        return cursor.execute(RESTING) == 0


class Project:
    """`engine` is the test's own access to the jobs, `ledger` what they wrote down."""

    def __init__(
        self, stack: ExitStack, folder: Path, url: str, namespace: str, jobs: str | None
    ) -> None:
        self.folder = folder
        self.url = url
        self.namespace = namespace
        self.ledger = Ledger(folder)
        #: Whether its pools begin in interpreters of their own, as do their templates.
        self.new_interpreters = False
        self._stack = stack
        self._pools = 0
        folder.mkdir(exist_ok=True)
        (folder / "poolq.toml").touch()
        (folder / "jobs.py").write_text(STANDARD.read_text() if jobs is None else jobs)
        opened = open_engine(url, namespace, migrate=True)
        self.engine: Engine = stack.enter_context(closing(opened))

    # its pools

    def pool(
        self,
        procs: int = 2,
        *flags: str,
        url: str = "",
        terminal: int | None = None,
        through: Sequence[str] = (),
        **env: str,
    ) -> Pool:
        """Start a pool; `url`: another way to the same engine; `through`: see `Pool`."""
        self._pools += 1
        where = ["--engine", url or self.url, "--namespace", self.namespace]
        log = self.folder / f"pool-{self._pools}.log"
        through = through or ("env",) * self.new_interpreters
        made = Pool(self.folder, log, [f"--procs={procs}", *where, *flags], env, terminal, through)
        self._stack.callback(made.close)
        return made

    def ready(self, procs: int = 2, *flags: str, url: str = "", **env: str) -> Pool:
        """A pool whose workers have booted."""
        made = self.pool(procs, *flags, url=url, **env)
        made.until_ready(procs)
        return made

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Meanwhile SQLite's file is not in its place, where no process can make a new one."""
        database = Path(self.url.removeprefix("sqlite:///"))
        away, nowhere = database.with_suffix(".away"), database.with_suffix(".nowhere")
        away.hardlink_to(database)
        nowhere.symlink_to("/nowhere/poolq.db")
        nowhere.replace(database)
        yield
        away.replace(database)

    def freeze(self, *pools: Pool) -> None:
        """Stop these pools between two of their transactions: who is stopped in one keeps its lock,
        in SQLite from everybody, in MariaDB until the server gives the connection up, in 60 s."""
        before = {one.pid for pool in pools for one in pool.processes() if one.state == "T"}

        def frozen() -> bool:
            for one in pools:
                one.freeze()
            if free := self._writable():
                return free
            for one in pools:
                one.thaw(before)
            until(self._writable)  # on a loaded machine that takes longer than the next look
            return False

        until(frozen, 10, "a moment at which nobody writes")

    def _writable(self) -> bool:
        """True if nobody holds SQLite's lock, nor is next to have it; or rests in a transaction
        of a server's, after a moment in which the last statement before may end."""
        if self.url.startswith("mysql:"):
            with suppress(AssertionError), closing(connect(parse_url(self.url)).raw) as raw:
                return until(lambda: _nobody_rests(raw), 0.5)
            return False
        if self.url.startswith("postgresql:"):
            with suppress(AssertionError), psycopg.connect(self.url, autocommit=True) as raw:
                resting = "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
                return until(lambda: raw.execute(resting).rowcount == 0, 0.5)
            return False
        if not self.url.startswith("sqlite:"):
            return True
        database = self.url.removeprefix("sqlite:///")
        try:
            with Path(f"{database}-turn").open("rb") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as line:
                line.execute("BEGIN IMMEDIATE")
        except (BlockingIOError, sqlite3.OperationalError):
            return False
        return True

    # its producer

    def dispatch(self, job: str, payload: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Dispatch a job of jobs.py with these options; its id."""
        return self.dispatch_many(job, [payload or {}], **options)[0]

    def dispatch_many(
        self, job: str, payloads: Sequence[Mapping[str, Any]] | int, **options: Any
    ) -> list[str]:
        """One job a payload (or so many without), in one push; their ids."""
        given = [{}] * payloads if isinstance(payloads, int) else payloads
        form = MessageTemplate(f"jobs:{job}", DEFAULTS.changed(options, job))
        pushes = [form.push(one, 1 << 20) for one in given]
        self.engine.push(pushes)
        return [one.id for one in pushes]

    def produce(self, code: str) -> str:
        """Run a producer's code in the project folder, as a process of its own; its stdout.

        The process is forked from one that has loaded poolq and its engines, but none of the
        project, and has no producer yet: what the code does is what it does in an interpreter that
        `producer` starts, or the guide's own producers.
        """
        done = run_forked([code], self.folder, self._environment(), "", run_code)
        assert done.code == 0, done.err
        return done.out

    def producer(self, code: str) -> subprocess.Popen[str]:
        """The same in a new interpreter, started; with pipes to talk to it."""
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _environment(self) -> dict[str, str]:
        settings = {"POOLQ_ENGINE": self.url, "POOLQ_NAMESPACE": self.namespace}
        return environment(**settings, **{FOLDER: str(self.folder)})

    # what became of its jobs

    def failed(self) -> dict[str, StoredJob]:
        """The failed jobs by id."""
        return {stored.id: stored for stored in self.engine.failed()}

    def total(self, counter: str) -> int:
        """A counter over all queues."""
        return sum(queue.get(counter, 0) for queue in self.engine.totals().values())

    def left(self) -> int:
        """Jobs that are not at their end: ready, delayed, parked or running."""
        counts = self.engine.counts()
        return sum(one.ready + one.delayed + one.parked + one.running for one in counts)

    def settled(self) -> bool:
        """No job is left; looked at twice, as one claimed between an engine's two counts may be
        in neither."""
        return not self.left() and not self.left()
