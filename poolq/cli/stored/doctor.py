"""`poolq doctor` checks whether the engine works and keeps jobs safely."""

import time
from collections.abc import Sequence

import click

from poolq import config
from poolq.cli import tables
from poolq.cli.options import ENGINE_FLAGS, with_settings
from poolq.config import Config
from poolq.config.engine_urls import redact
from poolq.engines.base import Check, Engine
from poolq.engines.schedule_store import REMOVED
from poolq.errors import EngineError, EngineUnavailable, PoolqError, SchemaError, StoreMissing
from poolq.jobs.message import entries
from poolq.monitor import node_info, schedule_status

SLOW_LATENCY = 0.1  # seconds of a round trip to the engine, which delays every worker
TRIAL_KEY, TRIAL_HOLD = "poolq doctor", 1_000_000  # for how many microseconds it is held
MAX_SCHEDULES = 1000
#: The states of schedules that are trouble, each with what to do, if that is known.
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
STYLES = {"ok": "good", "warn": "warn", "bad": "bad"}


@click.command()
@with_settings(*ENGINE_FLAGS)
def doctor(settings: Config) -> int:
    """Check the engine and its settings.

    Checks the engine's reachability, version, eviction policy, isolation, schema and clock, and
    whether schedules are late.

    Exits with 0 if no check is bad, with 69 if the engine cannot be reached, with 78 if the schema
    or a setting is wrong, and with 1 for any other bad check.
    """
    source = settings.sources["engine"]
    checks = [Check("engine", "ok", f"{redact(settings.engine)} ({source})")]
    engine = config.open_engine(settings)
    engine.require_store()
    try:
        code = examine(engine, checks)
    finally:
        engine.close()
    document = {"checks": [check._asdict() for check in checks], "exit_code": code}
    tables.show_list(document, COLUMNS, checks, "", STYLES)
    return code


def examine(engine: Engine, checks: list[Check]) -> int:
    """Add the engine's checks to `checks` and return the exit code."""
    if not engine.stores:
        checks.extend(engine.doctor())
        return 0
    try:
        checks.append(_latency(engine))
        checks.extend(engine.doctor())
        checks.append(_writable(engine))
        checks += _set_aside(engine)
        checks += _schedules(engine)
    except StoreMissing as error:
        checks.append(Check("database", "warn", str(error)))
        return 0
    except EngineUnavailable as error:
        checks.append(Check("reachable", "bad", str(error)))
        return error.exit_code
    except EngineError as error:
        name = "schema" if isinstance(error, SchemaError) else "engine"
        checks.append(Check(name, "bad", str(error)))
        return error.exit_code
    return _code(checks)


def _latency(engine: Engine) -> Check:
    engine.now()  # connect before measuring
    began = time.perf_counter()
    engine.now()
    took = time.perf_counter() - began
    level = "ok" if took < SLOW_LATENCY else "warn"
    return Check("latency", level, f"answers in {took * 1000:.1f} ms")


def _writable(engine: Engine) -> Check:
    """Check write access by holding a key that no limit has for a moment, which is a real write. It
    succeeds on a full Redis server, too, which rejects only new jobs."""
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


def _schedules(engine: Engine) -> list[Check]:
    """Count the schedules, and name those that nobody ticks as they should be. It is no trouble if
    a deployment has removed a schedule from the code."""
    stored, now = engine.schedules.soonest(MAX_SCHEDULES), engine.now()
    if not stored:
        return []
    odd: dict[str, list[str]] = {}
    found = schedule_status.all_of(stored, now)
    for one, shown in zip(stored, found, strict=True):
        if shown.state in HINTS and one.hash != REMOVED:
            odd.setdefault(shown.state, []).append(shown.name)
    text = ", ".join(
        f"{n} {state}{_named(odd.get(state, []))}"
        for state, n in schedule_status.by_state(found).items()
    )
    alive = node_info.any_alive(engine.nodes(), now)
    hints = [HINTS[state] for state in odd if HINTS[state] and alive]
    hints += [] if alive else ["no pool runs, so none has ticks: start 'poolq run'"]
    return [Check("schedules", "warn" if odd or not alive else "ok", "; ".join([text, *hints]))]


def _named(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])}{', …' * (len(names) > 3)})" if names else ""


def _code(checks: Sequence[Check]) -> int:
    bad = [check.name for check in checks if check.level == "bad"]
    if not bad:
        return 0
    return SchemaError.exit_code if "schema" in bad else PoolqError.exit_code
