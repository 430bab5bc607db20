"""What a pool does next: decisions as pure functions of its state and the clock.

- No live process is signalled twice for one reason: `told` and `killed` are set once. A worker
  that shall leave, and waits for jobs instead, has missed it, and is woken again each second.
- A worker that does not leave in a drain is killed when the stop timeout is over; its job goes
  back uncounted.
- Replacements come first: a ready worker is told to leave only when its successor is ready.
  Recycling replaces one seat at a time, a reload at most `max_surge`. A seat whose last worker
  still finishes a long job is not recycled again: else short lifetimes would fill the machine.
- A new generation is tried by one worker before the others follow. The first boot is such a
  trial: if it fails, the pool ends and says why; a later one that fails changes nothing.
- The keeper starts first and leaves last.

The shell (`master.py`, `children.py`) forks, signals and reaps; it holds no rule of its own.
Clock: monotonic seconds.
"""

from math import inf

from poolq.master.actions import (
    Action,
    Ask,
    Dump,
    Exit,
    Kill,
    Overrun,
    Spawn,
    SpawnKeeper,
    SpawnLogger,
    SpawnTemplate,
    Stop,
)
from poolq.master.state import Helper, Limits, Mode, Pool, Proc, Seat, Template
from poolq.scoreboard.timeouts import DUMP_TIMEOUT, MAX_MISSED_BEATS, PULSES_PER_TIMEOUT
from poolq.scoreboard.values import NO_JOB

ANSWER = 5.0  # seconds a template has to say whether the code has changed
FORK = 10.0  # seconds a template has to fork a worker
GLANCE = 0.01  # seconds between two looks whether it is written
AGAIN = 1.0  # seconds after which a worker that shall leave, and idles, is woken again


def decide(pool: Pool, now: float, unconfirmed: int) -> list[Action]:
    """All that is to be done at `now`. `unconfirmed`: dead workers not yet recovered."""
    if pool.mode is Mode.END:
        return _logger(pool, now) + _end(pool, now, unconfirmed)
    actions = _logger(pool, now) + _keeper(pool, now)
    if pool.mode is Mode.DRAIN:
        return actions + _drain(pool, now)
    actions += _deadlines(pool, now)
    if not pool.contact:
        return actions
    canary = _canary(pool, now)
    actions += _templates(pool, now) + list(canary)
    for seat in pool.seats:
        actions += _seat(pool, seat, now)
    return actions + _replacements(pool, now, {spawn.slot for spawn in canary})


def _logger(pool: Pool, now: float) -> list[Action]:
    if pool.logger is not None:
        return _silent(pool.logger, "logger")
    return [SpawnLogger()] if pool.limits.logged and now >= pool.logger_not_before else []


def _keeper(pool: Pool, now: float) -> list[Action]:
    if pool.keeper is not None:
        return _stopped(pool.keeper, pool.limits) or _silent(pool.keeper, "keeper")
    return [SpawnKeeper()] if now >= pool.keeper_not_before else []


def _stopped(keeper: Helper, limits: Limits) -> list[Action]:
    if keeper.pulse.unmoved < PULSES_PER_TIMEOUT or keeper.killed:
        return []
    why = f"keeper (pid {keeper.pid}) was silent for {limits.keeper_silence:.2g} s"
    return [Kill(keeper.pid, why)]


def _silent(helper: Helper, name: str) -> list[Action]:
    if helper.beat.unmoved < MAX_MISSED_BEATS or helper.killed:
        return []
    return [Kill(helper.pid, f"{name} (pid {helper.pid}) was silent for {MAX_MISSED_BEATS} s")]


def _deadlines(pool: Pool, now: float) -> list[Action]:
    """Boots that take too long, jobs that overran, memory that ran away, idle workers that do not
    move any more; also of those that were told to leave, which they may never come to do."""
    actions: list[Action] = []
    limits = pool.limits
    for proc in pool.procs():
        if proc.killed or not proc.pid:
            continue
        if not proc.ready:
            if _boots_late(proc, limits, now):
                why = f"worker (pid {proc.pid}) was not ready in time"
                actions.append(Kill(proc.pid, why, booting=True))
        elif proc.running != NO_JOB and (now >= proc.deadline or proc.heavy):
            if proc.dumped != proc.running:
                actions.append(Dump(proc.pid, proc.running))
            elif proc.written or now >= proc.dumped_at + DUMP_TIMEOUT:
                actions.append(Overrun(proc.pid, proc.running))
        elif proc.idle and proc.beat.unmoved >= limits.silence:
            why = f"idle worker (pid {proc.pid}) did not move for {limits.silence} s"
            actions.append(Kill(proc.pid, why))
        elif proc.idle and proc.told and now >= proc.signalled_at + AGAIN:
            actions.append(Stop(proc.pid))
    return actions


def _boots_late(proc: Proc, limits: Limits, now: float) -> bool:
    """An engine that cannot be reached may be waited for as long as that takes."""
    if proc.loaded:
        return proc.beat.unmoved >= limits.silence
    return now - proc.born >= limits.boot_deadline


def _templates(pool: Pool, now: float) -> list[Action]:
    wanted = {pool.generation} | ({pool.trial.generation} if pool.trial else set())
    actions: list[Action] = []
    for template in pool.templates.values():
        generation = template.generation
        if generation not in wanted or generation in pool.bare:
            actions += [] if template.told else [Stop(template.pid)]
            actions += _hung(pool, template, now)
        elif template.killed:
            continue
        elif not template.ready and now - template.born >= pool.limits.boot_deadline:
            why = f"template g{generation} did not load the application in time"
            actions.append(Kill(template.pid, why))
        else:
            actions += _hung(pool, template, now)
    trial = pool.trial
    if trial is None or not pool.limits.preload or now < trial.not_before:
        return actions
    if trial.generation not in pool.templates and trial.generation not in pool.bare:
        actions.append(SpawnTemplate(trial.generation))
    return actions


def _hung(pool: Pool, template: Template, now: float) -> list[Action]:
    """Kill a template that was asked for a worker and has not told its pid."""
    if template.killed or not any(
        not proc.pid and proc.generation == template.generation and now - proc.born >= FORK
        for proc in pool.procs()
    ):
        return []
    why = f"template g{template.generation} did not fork a worker in {FORK:g} s"
    return [Kill(template.pid, why)]


def _canary(pool: Pool, now: float) -> list[Spawn]:
    """The first worker of a generation that is being tried."""
    trial = pool.trial
    if trial is None or now < trial.not_before or not pool.can_spawn(trial.generation):
        return []
    if any(proc.generation == trial.generation for proc in pool.procs()):
        return []
    free = [seat for seat in pool.seats if not seat.closing and len(seat.serving()) < 2]
    return [Spawn(free[0].slot, trial.generation)] if free else []


def _seat(pool: Pool, seat: Seat, now: float) -> list[Action]:
    serving = seat.serving()
    if seat.closing:
        return [Stop(proc.pid) for proc in serving if proc.pid]
    wanted = (pool.generation, pool.trial.generation if pool.trial else 0)
    actions: list[Action] = []
    for proc in serving:
        late = _boots_late(proc, pool.limits, now)  # it is killed for that
        if proc.ready or proc.killed or late or not proc.pid or proc.generation in wanted:
            continue
        why = f"worker {seat.slot} (pid {proc.pid}) is of a generation that does not serve"
        actions.append(Kill(proc.pid, why, booting=True))
    if not serving:
        if pool.generation and now >= seat.not_before and pool.can_spawn(pool.generation):
            actions.append(Spawn(seat.slot, pool.generation))
    elif len(serving) > 1 and serving[-1].ready:
        actions += [Stop(proc.pid) for proc in serving[:-1] if proc.pid]
    return actions


def _replacements(pool: Pool, now: float, taken: set[int]) -> list[Action]:
    """Successors for those that are spent, within the surge; none for the seats just `taken`."""
    actions: list[Action] = []
    if not pool.generation:
        return actions
    booting = sum(len(seat.serving()) > 1 for seat in pool.seats) + len(taken)
    for seat in pool.seats:
        serving = seat.serving()
        if seat.closing or seat.slot in taken or len(serving) != 1 or not serving[0].ready:
            continue
        old, leaving = serving[0], len(seat.procs) - 1
        if now >= old.due and not old.answered and not pool.trying() and not _may_ask(pool, old):
            actions.append(Ask(pool.generation, old.seq))
        outdated = old.generation != pool.generation
        room = booting < (pool.limits.max_surge if outdated else 1)
        room = room and leaving <= outdated
        able = room and now >= seat.not_before and pool.can_spawn(pool.generation)
        if able and (outdated or _spent(pool, old, now)):
            actions.append(Spawn(seat.slot, pool.generation))
            booting += 1
    return actions


def _may_ask(pool: Pool, proc: Proc) -> bool:
    """True when there is nothing to ask, or it was asked already."""
    return proc.asked < inf or pool.generation not in pool.templates


def _spent(pool: Pool, proc: Proc, now: float) -> bool:
    if proc.spent:
        return True
    if now < proc.due or pool.trying():  # what is being tried would replace it at once
        return False
    return pool.generation not in pool.templates or proc.answered or now >= proc.asked + ANSWER


def _drain(pool: Pool, now: float) -> list[Action]:
    procs = [proc for proc in pool.procs() if proc.pid]
    actions: list[Action] = [Stop(proc.pid) for proc in procs if not proc.told]
    for template in pool.templates.values():
        actions += _hung(pool, template, now)
    if now < pool.deadline:
        return actions + _deadlines(pool, now)
    why = "does not wait for its job" if pool.aborted else "outlived the stop timeout"
    late = [proc for proc in procs if not proc.killed]
    return actions + [Kill(proc.pid, f"worker (pid {proc.pid}) {why}") for proc in late]


def _end(pool: Pool, now: float, unconfirmed: int) -> list[Action]:
    actions: list[Action] = []
    for template in pool.templates.values():
        if now >= pool.deadline and not template.killed:
            actions.append(Kill(template.pid, f"template (pid {template.pid}) did not leave"))
        elif not template.told:
            actions.append(Stop(template.pid))
    if pool.templates:
        return actions
    keeper = pool.keeper
    if keeper is None:
        if unconfirmed and now < pool.deadline and pool.contact:
            return [SpawnKeeper()] if now >= pool.keeper_not_before else []
        return [Exit(pool.code)]
    if not keeper.told:
        return [Stop(keeper.pid)]
    if now >= pool.deadline and not keeper.killed:
        return [Kill(keeper.pid, f"keeper (pid {keeper.pid}) did not leave")]
    return []


def next_wake(pool: Pool, now: float) -> float:
    """Seconds until something may be due by time alone; at most 1, for the beats."""
    times = [now + 1.0, pool.deadline]
    if pool.keeper is None:
        times.append(pool.keeper_not_before)
    elif pool.limits.keeper_silence < MAX_MISSED_BEATS:
        times.append(now + pool.limits.keeper_silence / PULSES_PER_TIMEOUT)
    if pool.logger is None and pool.limits.logged:
        times.append(pool.logger_not_before)
    if pool.trial is not None:
        times.append(pool.trial.not_before)
    for seat in pool.seats:
        times.append(seat.not_before)
        for proc in seat.procs:
            times += [proc.due, proc.asked + ANSWER, proc.deadline, proc.dumped_at + DUMP_TIMEOUT]
            if proc.dumped == proc.running != NO_JOB and now < proc.dumped_at + DUMP_TIMEOUT:
                times.append(now + GLANCE)
            times.append(proc.born + FORK if not proc.pid else inf)
    return max(0.0, min(time for time in times if time > now) - now)
