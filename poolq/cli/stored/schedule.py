"""`poolq schedule`: lists, adds, removes, pauses, resumes and runs schedules of periodic jobs."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from poolq.cli import options, tables
from poolq.cli.group import Group
from poolq.cli.stored.dispatch import find_job, producing, read_json
from poolq.common.lengths import MAX_JOB_NAME_BYTES
from poolq.common.names import check_name, suggestion
from poolq.config import Config
from poolq.engines.base import Engine, Push
from poolq.engines.schedule_store import REMOVED, NewSchedule, Scheduled
from poolq.errors import NotFound, PoolqError, Refused, ScheduleError
from poolq.jobs import schedule_plan
from poolq.monitor import amounts, node_info, schedule_status

NEXT_COUNT = 5
COLUMNS = (
    tables.Column("NAME", lambda one: one.name, elastic=True),
    tables.Column("WHEN", lambda one: one.when),
    tables.Column("ZONE", lambda one: one.tz or None, rank=3),
    tables.Column("JOB", lambda one: one.job, elastic=True, rank=2),
    tables.Column("NEXT RUN", lambda one: amounts.local(one.next) if one.next else None),
    tables.Column("LAST RUN", lambda one: amounts.local(one.last) if one.last else None, rank=1),
    tables.Column("JOBS", lambda one: one.ticks, right=True, rank=4),
    tables.Column("SKIPPED", lambda one: one.skipped, right=True, rank=5),
    tables.Column("STATE", lambda one: one.state),
)
STYLES = {"paused": "warn", "late": "bad", "unreadable": "bad", "undeclared": "warn"}
name_argument = click.argument("name", metavar="NAME")
names_argument = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.group(cls=Group)
def schedule() -> None:
    """List and change the schedules of periodic jobs."""


@schedule.command()
@click.argument("names", metavar="[NAME...]", nargs=-1)
@options.with_engine
def ls(engine: Engine, names: Sequence[str]) -> None:
    """List the schedules, or show some of them in full, with their next five ticks.

    A state of 'undeclared' means that no running pool has the schedule in its code.
    """
    found = [_known(engine, name) for name in names] if names else engine.schedules.all()
    now = engine.now()
    if names and not options.wants_json():
        for number, one in enumerate(found):
            options.print_line("") if number else None
            _print_fields(one, now)
    else:
        none = (
            f"there is no schedule in namespace {engine.namespace!r}; a pool stores those of your "
            "code (poolq.every()) when it has loaded it, and 'poolq schedule add' makes others"
        )
        document = {"schedules": [_document(one, now) for one in found]}
        rows = [schedule_status.of_schedule(one, now) for one in found]
        tables.show_list(document, COLUMNS, rows, none, STYLES)
    if found and not options.wants_json() and not node_info.any_alive(engine.nodes(), now):
        options.warn("no pool runs, so no schedule has ticks; 'poolq run' starts one")


@schedule.command()
@name_argument
@click.argument("when", metavar="WHEN")
@click.argument("job", metavar="JOB")
@click.argument("payload", metavar="[JSON]", default="{}")
@click.option("--tz", metavar="ZONE", help='Time zone of a cron line, "Europe/Berlin" (UTC).')
@click.option("--overlap", metavar="HOW", help="While a job is unfinished: allow, skip, buffer.")
@click.option("--catch-up", metavar="TIME", help='How late a missed tick may be ("1d"), or "all".')
@click.option("--jitter", metavar="TIME", help='By how much jobs may be delayed at random: "2m".')
@click.option("--queue", metavar="NAME", help="Queue, instead of the job's own.")
@click.option("--by-name", is_flag=True, help="Do not load the application; use poolq's defaults.")
@options.with_settings("app", "engine", "namespace")
def add(
    settings: Config, name: str, when: str, job: str, payload: str, queue: str | None,
    by_name: bool, **given: Any,
) -> None:  # fmt: skip
    """Add the schedule NAME, or replace it.

    WHEN is a cron line ("0 3 * * *") or an interval ("30s"), JOB a job ("jobs:Report"). Its
    options, except a delay, come from its class, so the application is loaded if there is one.
    All pools of the namespace tick it.
    """
    read = read_json(payload)
    chosen = {option: value for option, value in given.items() if value is not None}
    options.open_storing(settings).close()  # raises ConfigError if the engine stores no jobs
    from poolq.jobs.periodic import spec_of

    with producing(settings) as engine:
        check_name(name, "the schedule's name", MAX_JOB_NAME_BYTES)
        target = None if by_name else find_job(settings, job)
        changes: dict[str, object] = {"delay": None}  # the schedule decides when the job runs
        if queue is not None:
            changes["queue"] = queue
        _, spec = spec_of(when, target or job, read, chosen, f"schedule {name}", changes=changes)
        due = schedule_plan.first_tick(schedule_plan.decode(spec), engine.now())
        new = NewSchedule(name, schedule_plan.hash_of(spec), spec, due)
        end = engine.schedules.put(new)
    if end == "declared":
        raise Refused(
            f"schedule {name} is declared in the code of a running pool; change it there, or give "
            "yours another name"
        )
    if end != "same":
        options.announce(engine, f"schedule {name} is {end}")
    same = f"schedule {name} is there already"
    done = same if end == "same" else f"{end} {name}; next run: {amounts.local(due)}"
    tables.show({"name": name, "result": end, "next": amounts.utc(due)}, done)


@schedule.command()
@names_argument
@options.with_engine
def rm(engine: Engine, names: Sequence[str]) -> None:
    """Remove schedules that were added, and those whose code no running pool has.

    A schedule in the code that an added one has hidden then takes effect.
    """
    _act_on(engine, names, _remove, "removed")


def _remove(engine: Engine, one: Scheduled) -> bool:
    end = engine.schedules.remove(one.name)
    if end == "declared":
        raise Refused(
            f"schedule {one.name} is declared in the code of a running pool; remove it there, or "
            f"stop it: poolq schedule pause {one.name}"
        )
    return end != "unknown"


@schedule.command()
@names_argument
@options.with_engine
def pause(engine: Engine, names: Sequence[str]) -> None:
    """Stop schedules on all pools. Ticks that come meanwhile store no jobs."""
    _act_on(engine, names, _pause, "paused")


def _pause(engine: Engine, one: Scheduled) -> bool | str:
    return "was paused already" if one.paused else engine.schedules.pause(one.name)


@schedule.command()
@names_argument
@options.with_engine
def resume(engine: Engine, names: Sequence[str]) -> None:
    """Let paused schedules go on, with their next tick from now."""
    _act_on(engine, names, _resume, "resumed")


def _resume(engine: Engine, one: Scheduled) -> bool | str:
    if not one.paused:
        return "was not paused"
    due = schedule_plan.first_tick(schedule_plan.decode(one.spec), engine.now())
    return engine.schedules.resume(one.name, due)


@schedule.command()
@name_argument
@options.with_engine
def run(engine: Engine, name: str) -> None:
    """Store the job of a schedule now. Its ticks stay as they are. Prints the job's id."""
    from poolq.jobs.ids import new_id

    spec = schedule_plan.decode(_known(engine, name).spec)
    id_, queue = new_id(), schedule_plan.head_of(spec).queue
    body = schedule_plan.body_of(spec, id_, engine.now())
    (holder,) = engine.push([Push(id_, queue, body, unique=spec.unique)])
    if holder != id_:
        raise Refused(f"schedule {name}: job {holder} has its unique key, so nothing is stored")
    options.announce(engine, f"schedule {name} is run by hand: job {id_}")
    tables.show({"id": id_}, id_)


def _known(engine: Engine, name: str) -> Scheduled:
    found = engine.schedules.get(name)
    if found is None:
        raise _not_found(engine, [name])
    return found


def _not_found(engine: Engine, names: Sequence[str]) -> PoolqError:
    known = [one.name for one in engine.schedules.soonest(1000)]
    hint = suggestion(names[0], known, "'poolq schedule ls' lists them")
    return NotFound(f"there is no schedule {' or '.join(map(repr, names))}; {hint}")


def _act_on(
    engine: Engine,
    names: Sequence[str],
    act: Callable[[Engine, Scheduled], bool | str],
    what: str,
) -> None:
    """Call `act` for all these schedules, or for none if one is missing. If `act` fails for one,
    the ones done before are printed, too. `act` returns True, or False if the schedule has gone, or
    a text that says why there was nothing to do."""
    found = {name: engine.schedules.get(name) for name in dict.fromkeys(names)}
    if missing := [name for name, one in found.items() if one is None]:
        raise _not_found(engine, missing)
    done: list[str] = []
    try:
        for one in filter(None, found.values()):
            end = act(engine, one)
            if not end:
                raise _not_found(engine, [one.name])
            if isinstance(end, str):
                options.warn(f"schedule {one.name} {end}")
                continue
            options.announce(engine, f"schedule {one.name} is {what}")
            done.append(one.name)
    finally:
        tables.show({what: done}, *(f"{what} {name}" for name in done))


def _document(one: Scheduled, now: int) -> dict[str, Any]:
    shown = schedule_status.of_schedule(one, now)
    document: dict[str, Any] = {
        "name": one.name, "when": shown.when, "tz": shown.tz or None, "job": shown.job,
        "queue": shown.queue, "state": shown.state, "declared": one.declared,
        "next": [amounts.utc(at) for at in _next(one, shown.next, now)],
        "last": amounts.utc(one.last) if one.last else None, "last_job": one.job or None,
        "jobs": one.ticks, "skipped": one.skipped,
    }  # fmt: skip
    if shown.state != "unreadable":
        spec = schedule_plan.decode(one.spec)
        document |= {
            "payload": schedule_plan.head_of(spec).payload, "overlap": spec.overlap,
            "catch_up": "all" if spec.catch_up < 0 else spec.catch_up / 1e6,
            "jitter": spec.jitter / 1e6,
        }  # fmt: skip
    return document


def _next(one: Scheduled, due: int, now: int) -> list[int]:
    if not due:
        return []
    try:
        return schedule_plan.next_ticks(schedule_plan.decode(one.spec), due, NEXT_COUNT, now)
    except ScheduleError:
        return []


def _origin(one: Scheduled) -> str:
    if not one.declared:
        return "poolq schedule add"
    return "code that no running pool has any more" if one.hash == REMOVED else "code"


def _print_fields(one: Scheduled, now: int) -> None:
    found = _document(one, now)
    catch_up, next_ = found.get("catch_up"), _next(one, one.due * bool(found["next"]), now)
    shown = {
        "schedule": one.name,
        "when": f"{found['when']} {found['tz'] or ''}".rstrip(),
        "job": f"{found['job']} in queue {found['queue']}",
        "payload": found.get("payload"),
        "from": _origin(one),
        "state": found["state"],
        "next": "\n".join(map(amounts.local, next_)) or "-",
        "last": f"{amounts.local(one.last)}, job {one.job}" if one.last else "-",
        "jobs": f"{one.ticks} stored, {one.skipped} ticks skipped",
        "overlap": found.get("overlap"),
        "catch up": amounts.whole(catch_up) if isinstance(catch_up, float) else catch_up,
        "jitter": amounts.whole(found["jitter"]) if found.get("jitter") else "-",
    }
    tables.print_fields(shown)
