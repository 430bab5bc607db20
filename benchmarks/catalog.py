"""Who takes part: each contender's packages, how its two workers start, and who says that so.

Its jobs and its producer are the module of its name in `benchmarks/peers/`. In a command `{bin}` is
its environment's bin folder. `jobs` is how many of them a drain is given, so that it takes some
seconds.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

PYTHON_313 = os.environ.get("PYTHON313", "/usr/bin/python3.13")
NOTHING: Mapping[str, str] = MappingProxyType({})
NAMES = {
    "redis": "Redis",
    "sqlite": "SQLite",
    "mariadb": "MariaDB",
    "postgresql": "PostgreSQL",
}


class Contender(NamedTuple):
    """`setup`: in words, for the table; `docs`: the page that recommends it. `peer`: poolq must be
    ahead of it; `pure`: its core is Python."""

    name: str
    module: str
    engine: str
    jobs: int
    workers: tuple[str, ...]
    setup: str
    packages: tuple[str, ...] = ()
    python: str = ""
    docs: str = ""
    env: Mapping[str, str] = NOTHING
    peer: bool = True
    pure: bool = True

    @property
    def key(self) -> str:
        """Its name among all: several engines have a bare loop."""
        return f"{self.name} on {self.engine}"


def _poolq(engine: str, jobs: int, *flags: str, name: str = "poolq") -> Contender:
    command = " ".join(("{bin}/python -m poolq run --procs=2", *flags))
    setup = "default settings" if not flags else f"default settings, {' '.join(flags)}"
    return Contender(name, "poolq", engine, jobs, (command,), setup, peer=False)


def _bare(engine: str, jobs: int, how: str = "batch") -> Contender:
    command = f"{{bin}}/python -m benchmarks.peers.bare_{engine} {how}"
    setup = "100 at a time" if how == "batch" else "one by one"
    name = f"bare {how} loop"
    return Contender(name, f"bare_{engine}", engine, jobs, (command,) * 2, setup, peer=False)


POOLQ = {
    "redis": _poolq("redis", 200_000),
    "sqlite": _poolq("sqlite", 150_000),
    "mariadb": _poolq("mariadb", 45_000),
    "postgresql": _poolq("postgresql", 60_000),
}
STRICT = _poolq("redis", 35_000, "--prefetch=1", name="poolq --prefetch=1")
BARE = {
    "redis": _bare("redis", 700_000),
    "sqlite": _bare("sqlite", 500_000),
    "mariadb": _bare("mariadb", 75_000),
    "postgresql": _bare("postgresql", 100_000)._replace(setup="100 at a time, on poolq's tables"),
}
INDEXED = BARE["mariadb"]._replace(
    name="bare batch loop, indexed",
    setup="100 at a time, with an index of (state, id)",
    env={"BENCH_INDEX": "yes"},
)
ONE_BY_ONE = _bare("mariadb", 4500, "one-by-one")

_REDIS = ("redis[hiredis]==8.1.0",)
_PSYCOPG = "psycopg[binary,pool]==3.3.9"
HUEY = Contender(
    "huey",
    "huey",
    "redis",
    20_000,
    ("{bin}/huey_consumer benchmarks.peers.huey.huey -k process -w 2 -n -q",),
    "2 processes, blocking pop, no results stored",
    ("huey==3.5.4", "peewee==4.5.3", "pymysql==1.2.4", _PSYCOPG, *_REDIS),
    docs="https://huey.readthedocs.io/en/latest/consumer.html",
)
DRAMATIQ = Contender(
    "dramatiq",
    "dramatiq",
    "redis",
    24_000,
    ("{bin}/dramatiq benchmarks.peers.dramatiq -p 2 -t 8",),
    "2 processes of 8 threads",
    ("dramatiq[redis]==2.2.1", *_REDIS),
    docs="https://dramatiq.io/guide.html#workers",
)
_CELERY_QUIET = "--without-gossip --without-mingle --without-heartbeat"
CELERY = Contender(
    "celery",
    "celery",
    "redis",
    3000,
    ("{bin}/celery -A benchmarks.peers.celery worker -c 2 -P prefork " + _CELERY_QUIET,),
    "2 processes, prefetch multiplier 128, results ignored",
    ("celery[redis]==5.7.0", *_REDIS),
    docs="https://docs.celeryq.dev/en/stable/userguide/optimizing.html",
)
RQ = Contender(
    "rq",
    "rq",
    "redis",
    1200,
    ("{bin}/rq worker-pool bench -n 2 -w rq.worker.SimpleWorker -l WARNING -u {url}",),
    "2 SimpleWorkers, results not kept",
    ("rq==3.0.0", *_REDIS),
    docs="https://python-rq.org/docs/workers/",
)
ARQ = Contender(
    "arq",
    "arq",
    "redis",
    3000,
    ("{bin}/arq benchmarks.peers.arq.WorkerSettings",) * 2,
    "2 processes, 100 jobs at once, results not kept",
    ("arq==0.28.0",),
    docs="https://arq-docs.helpmanual.io/",
)
TASKIQ = Contender(
    "taskiq",
    "taskiq",
    "redis",
    5000,
    ("{bin}/taskiq worker benchmarks.peers.taskiq:broker -w 2 --no-parse --log-level WARNING",),
    "2 processes, ListQueueBroker, which does not acknowledge; no results",
    ("taskiq==0.13.0", "taskiq-redis==1.2.4", *_REDIS),
    docs="https://github.com/taskiq-python/taskiq-redis#listqueue",
)
SAQ = Contender(
    "saq",
    "saq",
    "redis",
    5000,
    ("{bin}/saq benchmarks.peers.saq.settings --workers 2",),
    "2 processes, 32 jobs at once, results dropped",
    ("saq[redis,hiredis]==0.26.4", "typing_extensions"),
    docs="https://saq-py.readthedocs.io/en/latest/",
)
WAKAQ = Contender(
    "wakaq",
    "wakaq",
    "redis",
    16_000,
    ("{bin}/wakaq-worker --app benchmarks.peers.wakaq.wakaq",),
    "2 processes",
    ("wakaq==4.0.4", *_REDIS),
    docs="https://github.com/wakatime/wakaq#readme",
)
STREAQ = Contender(
    "streaq",
    "streaq",
    "redis",
    3000,
    ("{bin}/streaq run benchmarks.peers.streaq:worker -w 2",),
    "2 processes, 32 tasks at once, results dropped, enqueue_many",
    ("streaq==7.2.0",),
    docs="https://github.com/tastyware/streaq/tree/master/benchmarks",
)
ARDIQ = Contender(
    "ardiq",
    "ardiq",
    "redis",
    24_000,
    ("{bin}/ardiq run benchmarks.peers.ardiq:app -w 2 -q",),
    "2 processes, results dropped, enqueue_many",
    ("ardiq==1.2.0",),
    python=PYTHON_313,
    docs="https://ardiq.bytay.dev/guides/performance/",
    pure=False,
)
PEERS = (HUEY, DRAMATIQ, CELERY, RQ, ARQ, TASKIQ, SAQ, WAKAQ, STREAQ, ARDIQ)

HUEY_SQLITE = HUEY._replace(
    engine="sqlite",
    jobs=45_000,
    setup="2 processes, fsync=False",
    docs="https://huey.readthedocs.io/en/latest/api.html#SqliteHuey",
)
HUEY_FSYNC = HUEY_SQLITE._replace(
    name="huey, fsync", jobs=7000, setup="2 processes, fsync=True", env={"BENCH_FSYNC": "yes"}
)
TASKITO = Contender(
    "taskito",
    "taskito",
    "sqlite",
    3000,
    ("{bin}/taskito worker --app benchmarks.peers.taskito:queue --pool prefork",),
    "prefork, 2 workers, scheduler batch 100",
    ("taskito==0.22.0",),
    docs="https://docs.byteveda.org/taskito/python/guides/advanced-execution/prefork",
    pure=False,
)
HUEY_MARIADB = HUEY_SQLITE._replace(
    engine="mariadb",
    jobs=2000,
    setup="2 processes, SqlHuey",
    docs="https://huey.readthedocs.io/en/latest/contrib.html#sqlhuey",
)

HUEY_POSTGRESQL = HUEY_SQLITE._replace(
    engine="postgresql",
    jobs=2000,
    setup="2 processes, PostgresHuey, blocking, no results stored",
    docs="https://huey.readthedocs.io/en/latest/api.html#PostgresHuey",
)
_WORKER = "worker --concurrency=10 --delete-jobs=always"
PROCRASTINATE = Contender(
    "procrastinate",
    "procrastinate",
    "postgresql",
    1500,
    ("{bin}/procrastinate -a benchmarks.peers.procrastinate.app --log-level=error " + _WORKER,) * 2,
    "2 processes, 10 jobs at once, deleted when done, batch_defer",
    ("procrastinate==3.10.0", _PSYCOPG),
    docs="https://procrastinate.readthedocs.io/en/stable/howto/production/concurrency.html",
)
PGQUEUER = Contender(
    "PgQueuer",
    "pgqueuer",
    "postgresql",
    50_000,
    ("{bin}/python -m benchmarks.peers.pgqueuer",) * 2,
    "2 processes, asyncpg, uvloop, batches of 1,000, enqueued in lists",
    ("pgqueuer[asyncpg]==1.6.0",),
    docs="https://janbjorge.github.io/pgqueuer/",
)
OBAN = Contender(
    "oban-py",
    "oban",
    "postgresql",
    10_000,
    ("{bin}/oban start --dsn={url} --queues=default:1000 --log-level=ERROR",) * 2,
    "2 processes, 1,000 jobs at once, enqueue_many",
    ("oban==0.7.0",),
    python=PYTHON_313,
    docs="https://oban.pro/docs/py",
)
DJANGO_TASKS_DB = Contender(
    "django-tasks-db",
    "django_tasks_db",
    "postgresql",
    1000,
    ("{bin}/python -m benchmarks.peers.django_tasks_db db_worker -v0 --no-startup-delay",) * 2,
    "2 processes, which poll each second",
    ("django-tasks-db==0.13.0", "django==6.1.3", _PSYCOPG),
    python=PYTHON_313,
    docs="https://github.com/RealOrangeOne/django-tasks-db#readme",
    env={"DJANGO_ALLOW_ASYNC_UNSAFE": "yes"},  # our producer is a coroutine
)
AWA = Contender(
    "awa",
    "awa",
    "postgresql",
    20_000,
    ("{bin}/python -m benchmarks.peers.awa",) * 2,
    "2 processes, 1,000 jobs at once, enqueue_many_copy",
    ("awa-pg==0.6.9",),
    docs="https://github.com/hardbyte/awa/blob/main/docs/getting-started-python.md",
    pure=False,
)
PEERS_POSTGRESQL = (PROCRASTINATE, PGQUEUER, HUEY_POSTGRESQL, OBAN, DJANGO_TASKS_DB, AWA)
ALL = (
    *POOLQ.values(),
    STRICT,
    *BARE.values(),
    INDEXED,
    ONE_BY_ONE,
    *PEERS,
    HUEY_SQLITE,
    HUEY_FSYNC,
    TASKITO,
    HUEY_MARIADB,
    *PEERS_POSTGRESQL,
)
