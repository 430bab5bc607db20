"""`poolq doctor` checks whether the engine works and keeps jobs safely."""

import time
from collections import Counter
from collections.abc import Sequence

import click

from poolq import config
from poolq.cli import tables
from poolq.cli.options import ENGINE_FLAGS, with_settings
from poolq.common.units import limit_rule
from poolq.config import Config
from poolq.config.engine_urls import redact
from poolq.engines.base import Check, Engine, StoredJob
from poolq.engines.schedule_store import REMOVED
from poolq.errors import (
    ConfigError,
    EngineError,
    EngineUnavailable,
    PoolqError,
    RightMissing,
    SchemaError,
    StoreMissing,
)
from poolq.jobs.limits import Gate
from poolq.jobs.message import entries, name_and_queue
from poolq.jobs.outcomes import MANY_SNOOZES
from poolq.monitor import amounts, node_info, schedule_status

SLOW_LATENCY = 0.1  # seconds; a slower round trip to the engine delays every worker
TRIAL_KEY, TRIAL_HOLD = "poolq doctor", 1_000_000  # a key, and the microseconds of its hold
MAX_SCHEDULES = 1000
MAX_JOBS = 100  # how many ready and how many delayed jobs are checked: those that run next
LONG_WAIT = 3600_000_000  # microseconds; if a job waits longer for running ones, doctor warns
MAX_GATES = 100  # how many limits of jobs at once are checked, each by its first waiting job
LONG_EXPIRED = 60_000_000  # microseconds within which a worker should delete an expired job
#: The bad states of schedules. Each has a hint on what to do, or "".
HINTS = {
    "late": "",
    "undeclared": "for undeclared ones, start a pool with their code, or 'poolq schedule rm' them",
    "unreadable": "",
}
COLUMNS = (
    tables.Column("CHECK", lambda one: one.name),
    tables.Column("LEVEL", lambda one: one.level),
    tables.Column("FOUND", lambda one: one.text, wrap=True),
)
#: What a check of an error is called.
NAMES = {SchemaError: "schema", RightMissing: "rights", ConfigError: "settings"}
STYLES = {"ok": "good", "warn": "warn", "bad": "bad"}


@click.command()
@click.option("--producer", is_flag=True, help="Check what a user needs who only dispatches.")
@with_settings(*ENGINE_FLAGS)
def doctor(settings: Config, producer: bool) -> int:
    """Check the engine and its settings.

    Checks the engine's reachability, version, eviction policy, isolation, schema and clock, whether
    schedules are late, and whether jobs wait that have expired, snooze for ever, or wait for others
    that seem to be stuck.

    Exits with 0 if no check is bad, with 69 if the engine cannot be reached, with 78 if the schema
    or a setting is wrong, and with 1 for any other bad check.
    """
    source = settings.sources["engine"]
    checks = [Check("engine", "ok", f"{redact(settings.engine)} ({source})")]
    engine = config.open_engine(settings)
    engine.require_store()
    try:
        code = examine(engine, checks, producer)
    finally:
        engine.close()
    document = {"checks": [check._asdict() for check in checks], "exit_code": code}
    tables.show_list(document, COLUMNS, checks, "", STYLES)
    return code


def examine(engine: Engine, checks: list[Check], producer: bool = False) -> int:
    """Add the engine's checks to `checks` and return the exit code. `producer`: whether to leave
    out those for which a producer may lack the rights."""
    if not engine.stores:
        checks.extend(engine.doctor())
        return 0
    try:
        checks.append(_latency(engine))
        checks += [one for one in engine.doctor() if not (producer and one.name == "rights")]
        if not producer:
            checks.append(_writable(engine))
            checks += _set_aside(engine)
            checks += _odd_jobs(engine)
            checks += _concurrency(engine)
            checks += _schedules(engine)
    except StoreMissing as error:
        checks.append(Check("database", "warn", str(error)))
        return 0
    except EngineUnavailable as error:
        checks.append(Check("reachable", "bad", str(error)))
        return error.exit_code
    except (EngineError, ConfigError) as error:
        checks.append(Check(NAMES.get(type(error), "answer"), "bad", str(error)))
        return error.exit_code
    bad = [check.name for check in checks if check.level == "bad"]
    if not bad:
        return 0
    return SchemaError.exit_code if {"schema", "rights"} & {*bad} else PoolqError.exit_code


def _latency(engine: Engine) -> Check:
    engine.now()  # connect before measuring
    began = time.perf_counter()
    engine.now()
    took = time.perf_counter() - began
    level = "ok" if took < SLOW_LATENCY else "warn"
    return Check("latency", level, f"answers in {took * 1000:.1f} ms")


def _writable(engine: Engine) -> Check:
    """Check write access with a real write: hold a key that no limit has for a moment. A full Redis
    server accepts this write, since it rejects only new jobs. So its memory is checked, too."""
    try:
        engine.hold(TRIAL_KEY, TRIAL_HOLD)
        engine.lift(TRIAL_KEY)
        server = engine.server()
    except EngineError as error:
        return Check("writable", "bad", str(error))
    if server and 0 < server.most <= server.used:
        text = "the server is full and rejects new jobs; give it more memory"
        return Check("writable", "bad", text)
    return Check("writable", "ok", "this user may change jobs")


def _set_aside(engine: Engine) -> list[Check]:
    """Count the unreadable jobs among the last failed ones."""
    lasts = [entries(one.state.history)[-1:] for one in engine.failed()]
    odd = sum(1 for last in lasts if last and last[0].error.startswith("BadMessage"))
    if not odd:
        return []
    jobs = "1 failed job" if odd == 1 else f"{odd} failed jobs"
    return [Check("set aside", "warn", f"{jobs} could not be read; 'poolq failed ls' lists them")]


def _odd_jobs(engine: Engine) -> list[Check]:
    """Among the next jobs, find expired ones that no worker deletes, and those that only snooze."""
    ready = engine.page("ready", max_count=MAX_JOBS).jobs
    long_ago = engine.now() - LONG_EXPIRED
    queues = sorted({one.queue for one in ready if 0 < one.expires_at < long_ago})
    delayed = engine.page("delayed", max_count=MAX_JOBS).jobs
    snoozed = [one for one in delayed if _snoozes(one) >= MANY_SNOOZES]
    found = []
    if queues:
        text = f"jobs of queue {queues[0]} have expired, but no worker comes to delete them"
        found.append(Check("expired", "warn", f"{text}{_more(len(queues), 'queue')}"))
    if snoozed:
        name, _ = name_and_queue(snoozed[0].body)
        text = f"job {name} {snoozed[0].id} has snoozed {_snoozes(snoozed[0])} times"
        found.append(
            Check("snoozes", "warn", f"{text}{_more(len(snoozed), 'job')}; set max_snoozes")
        )
    return found


def _concurrency(engine: Engine) -> list[Check]:
    """Name a limit of jobs at once for which a job has waited for long: the running jobs may be
    stuck."""
    long_ago = engine.now() - LONG_WAIT
    full = [
        use
        for use in engine.limits()
        if isinstance(use.rule, Gate) and use.parked and use.window.used >= use.rule.limit
    ]
    found = []
    for use in full[:MAX_GATES]:
        first = engine.page("parked", limit=use.rule.key, max_count=1).jobs
        if first and first[0].at <= long_ago:
            found.append(use)
    if not found:
        return []
    use = found[0]
    waiting = "1 job waits" if use.parked == 1 else f"{amounts.count(use.parked)} jobs wait"
    rule = limit_rule(use.rule.limit, 0)
    text = f"{waiting} for limit {use.rule.key} ({rule}), one of them for over an hour"
    hint = "those that run may be stuck: see 'poolq job ls --state=running'"
    return [Check("concurrency", "warn", f"{text}{_more(len(found), 'limit')}; {hint}")]


def _snoozes(job: StoredJob) -> int:
    return max((line.count for line in entries(job.state.history)), default=0)


def _more(count: int, what: str) -> str:
    others = count - 1
    return f" (and {others} more {what}{'s' * (others > 1)})" if others else ""


def _schedules(engine: Engine) -> list[Check]:
    """Count the schedules by state, and name those in a bad state. A schedule that a deployment has
    removed from the code is not bad."""
    stored, now = engine.schedules.soonest(MAX_SCHEDULES), engine.now()
    if not stored:
        return []
    odd: dict[str, list[str]] = {}
    count = Counter[str]()
    for one in stored:
        shown = schedule_status.of_schedule(one, now)
        count[shown.state] += 1
        if shown.state in HINTS and one.hash != REMOVED:
            odd.setdefault(shown.state, []).append(shown.name)
    text = ", ".join(f"{n} {state}{_named(odd.get(state, []))}" for state, n in count.items())
    alive = node_info.any_alive(engine.nodes(), now)
    hints = [HINTS[state] for state in odd if HINTS[state] and alive]
    hints += [] if alive else ["no pool runs, so none has ticks: start 'poolq run'"]
    return [Check("schedules", "warn" if odd or not alive else "ok", "; ".join([text, *hints]))]


def _named(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])}{', …' * (len(names) > 3)})" if names else ""
