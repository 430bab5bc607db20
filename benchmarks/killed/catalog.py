"""Who takes part in what is killed: the processes that are, and those that are not."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.catalog import ARQ, CELERY, HUEY, NAMES, NOTHING, POOLQ, RQ, SAQ, Contender

HERE = "benchmarks.killed.peers"


class Killed(NamedTuple):
    """`module`: the one in killed/peers with its jobs; `steady`: commands of processes that are
    left alone; `settles`: within how many seconds it must have got over the last kill, which its
    time limits decide; `interval`: the seconds between two ticks of a schedule."""

    contender: Contender
    module: str
    steady: tuple[str, ...] = ()
    settles: float = 45
    interval: float = 1

    @property
    def name(self) -> str:
        return self.contender.name.partition(":")[0]


def _poolq(engine: str, module: str, setup: str = "default settings") -> Killed:
    pool = "{bin}/python -m poolq run --procs=1 --name="
    one = POOLQ[engine]._replace(
        workers=(f"{pool}one", f"{pool}two"),
        env={"POOLQ_APP": f"{HERE}.{module}"},
        setup=f"{setup}, two pools of one worker",
    )
    return Killed(one, module)


def _peer(
    base: Contender,
    what: str,
    module: str,
    *workers: str,
    setup: str,
    docs: str,
    steady: tuple[str, ...] = (),
    env: Mapping[str, str] = NOTHING,
    **limits: float,
) -> Killed:
    """`what` tells its set-up from others of its name on the page."""
    one = base._replace(
        name=f"{base.name}: {what}",
        workers=tuple(_command(worker) for worker in workers),
        setup=setup,
        docs=docs,
        env=env,
    )
    return Killed(one, module, tuple(_command(worker) for worker in steady), **limits)


def _command(words: str) -> str:
    return "{bin}/" + words.replace("HERE", HERE)


_CELERY = CELERY._replace(
    module="celery_addons",
    packages=(
        *CELERY.packages,
        "celery-once==3.0.1",
        "celery-singleton==0.3.1",
        "celery-redbeat==2.4.2",
    ),
)


def _worker(module: str, name: str) -> str:
    return f"celery -A HERE.{module} worker -c 1 --without-gossip --without-mingle -n {name}@%h"


def _celery(name: str, setup: str, docs: str, env: Mapping[str, str] = NOTHING) -> Killed:
    module = name.partition(",")[0].replace("-", "_")
    return _peer(
        _CELERY._replace(name=name),
        "unique",
        module,
        _worker(module, "one"),
        _worker(module, "two"),
        setup=f"late acknowledgements, visibility timeout 10 s, locks {setup}",
        docs=docs,
        env=env,
        settles=125,
    )


_RQ = "rq worker bench -q -u {url} --worker-ttl=20 --maintenance-interval=5"
_RQ += " --job-monitoring-interval=5"
_SINGLETON = "https://github.com/steinitzu/celery-singleton#handling-deadlocks"
_SAQ = "https://saq-py.readthedocs.io/en/latest/"
UNIQUE = (
    *(_poolq(engine, "poolq") for engine in NAMES),
    _peer(
        RQ,
        "unique",
        "rq",
        *(_RQ, _RQ),
        setup="unique=True, Retry(max=10), maintenance every 5 s",
        docs="https://python-rq.org/docs/jobs/",
        settles=125,
    ),
    _peer(
        ARQ,
        "unique",
        "arq",
        *["arq HERE.arq.WorkerSettings"] * 2,
        setup="_job_id, timeout 5 s, results not kept",
        docs="https://arq-docs.helpmanual.io/#job-uniqueness",
    ),
    _peer(
        SAQ,
        "unique",
        "saq",
        *["saq HERE.saq.settings"] * 2,
        setup="key, 10 retries, a sweep every 5 s",
        docs=_SAQ,
        settles=80,
    ),
    _celery("celery-once", "of an hour", "https://github.com/cameronmaske/celery-once#readme"),
    _celery("celery-singleton", "without an end", _SINGLETON),
    _celery(
        "celery-singleton, clear_locks",
        "cleared when a worker starts",
        _SINGLETON,
        {"BENCH_CLEAR": "yes"},
    ),
)

_BEAT = "celery -A HERE.celery_beat beat"
_HUEY = "huey_consumer HERE.huey.huey -w 1 -k process -q"
TICKS = (
    *(_poolq(engine, "poolq_ticks") for engine in NAMES),
    _peer(
        _CELERY._replace(name="celery beat"),
        "ticks",
        "celery_beat",
        _BEAT,
        setup="one beat, as two would do everything twice",
        docs="https://docs.celeryq.dev/en/stable/userguide/periodic-tasks.html",
        steady=(_worker("celery_beat", "one"),),
    ),
    _peer(
        _CELERY._replace(name="redbeat"),
        "ticks",
        "celery_beat",
        *(f"{_BEAT} -S redbeat.RedBeatScheduler --pidfile={name}.pid" for name in ("a", "b")),
        setup="two beats, loop interval 1 s, so their lock ends after 5 s",
        docs="https://redbeat.readthedocs.io/en/latest/config.html",
        steady=(_worker("celery_beat", "one"),),
    ),
    _peer(
        RQ._replace(name="rq cron"),
        "ticks",
        "rq",
        "rq cron HERE.rq_cron -u {url} -l warning",
        setup="one scheduler, as schedulers do not know of each other",
        docs="https://python-rq.org/docs/cron/",
        steady=(_RQ,),
    ),
    _peer(
        HUEY,
        "ticks",
        "huey",
        _HUEY,
        setup="one consumer with periodic tasks, one with -n",
        docs="https://huey.readthedocs.io/en/latest/guide.html#periodic-tasks",
        steady=(f"{_HUEY} -n",),
        env={"BENCH_SCHEDULES": "30"},
        interval=60,
    ),
    _peer(
        ARQ,
        "ticks",
        "arq",
        *["arq HERE.arq.CronSettings"] * 2,
        setup="two workers, unique cron jobs",
        docs="https://arq-docs.helpmanual.io/#cron-jobs",
    ),
    _peer(
        SAQ,
        "ticks",
        "saq",
        *["saq HERE.saq.cron_settings"] * 2,
        setup="two workers, unique cron jobs",
        docs=_SAQ,
        env={"BENCH_SCHEDULES": "20"},
        interval=5,
    ),
)
PEERS = tuple(one.contender for one in (*UNIQUE, *TICKS) if one.contender.peer)
