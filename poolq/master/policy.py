"""Decides what a pool does next. Pure functions of its state and the clock return actions.

- No live process is sent a signal twice for one reason; the table of worker states in `state.py`
  forbids it. The exception is a worker that still waits for jobs after it was told to exit. It has
  missed the signal, so TERM is sent again each second.
- A worker that outlives the stop timeout of a drain is killed, and its job is released without
  using an attempt.
- A ready worker is told to exit only when its successor is ready. Recycling replaces one worker at
  a time, a reload at most `max_surge`. A slot is not recycled while one of its earlier workers
  still finishes a job, since with short lifetimes such workers would fill the machine.
- One worker tries a new generation before the others follow. The first boot is such a trial, too:
  if it fails, the pool ends. If a later trial fails, the old workers keep running.
- The keeper starts before the workers and exits after them.

`master.py` and `children.py` fork, signal and reap, but decide nothing. Times are monotonic
seconds.
"""

from poolq.master import actions, canary, recycling, state
from poolq.master.actions import Action
from poolq.master.state import Mode, Pool, Slot, WorkerProcess, WorkerState
from poolq.scoreboard.layout import NO_JOB
from poolq.scoreboard.timeouts import BEATS_PER_TIMEOUT, DUMP_TIMEOUT, MAX_MISSED_BEATS

FORK_TIMEOUT = 10.0  # seconds a template has to fork a worker
DUMP_POLL = 0.01  # seconds between two checks whether a stack is written
STOP_REPEAT = 1.0  # seconds after which an idle worker that was told to exit is told again


def decide(pool: Pool, now: float, unrecovered: int) -> list[Action]:
    """Return the actions that are due. `unrecovered`: how many dead workers await recovery."""
    if pool.mode is Mode.END:
        return _logger(pool, now) + _end(pool, now, unrecovered)
    due = _logger(pool, now) + _keeper(pool, now)
    if pool.mode is Mode.DRAIN:
        return due + _drain(pool, now)
    if pool.queues_empty and pool.limits.until_empty:
        return [*due, actions.Drain("the queues are empty: leaving")]
    due += _deadlines(pool, now)
    if not pool.broker_reached:
        return due
    first = canary.spawn(pool, now)
    due += _templates(pool, now) + list(first)
    for slot in pool.slots:
        due += _slot(pool, slot, now)
    return due + _replacements(pool, now, {spawn.slot for spawn in first})


def _logger(pool: Pool, now: float) -> list[Action]:
    if pool.logger is not None:
        return _silent(pool.logger, "logger", pool.logger.beat.missed >= MAX_MISSED_BEATS)
    due = pool.limits.has_logger and now >= pool.logger_not_before
    return [actions.SpawnLogger()] if due else []


def _keeper(pool: Pool, now: float) -> list[Action]:
    keeper, silence = pool.keeper, pool.limits.keeper_silence
    if keeper is None:
        return [actions.SpawnKeeper()] if now >= pool.keeper_not_before else []
    if keeper.quick_beat.missed >= BEATS_PER_TIMEOUT:
        return _silent(keeper, "keeper", True, silence)
    return _silent(keeper, "keeper", keeper.beat.missed >= MAX_MISSED_BEATS)


def _silent(
    helper: state.HelperProcess, name: str, hangs: bool, seconds: float = MAX_MISSED_BEATS
) -> list[Action]:
    """Kill a helper that `hangs`, once."""
    why = f"{name} (pid {helper.pid}) was silent for {seconds:.2g} s"
    return [actions.Kill(helper.pid, why)] if hangs and not helper.killed else []


def _deadlines(pool: Pool, now: float) -> list[Action]:
    """Act on workers that boot for too long, run a job that must end, or hang while idle. Workers
    that were told to exit are included, as they may never exit."""
    due: list[Action] = []
    limits = pool.limits
    for proc in pool.procs():
        if proc.killed or proc.state is WorkerState.FORKING:
            continue
        if not proc.ready:
            if _boots_late(proc, limits, now):
                why = f"worker (pid {proc.pid}) was not ready in time"
                due.append(actions.Kill(proc.pid, why, booting=True))
        elif proc.running != NO_JOB:
            due += _end_of_job(proc, now)
        elif proc.idle and proc.beat.missed >= limits.max_missed_beats:
            why = f"idle worker (pid {proc.pid}) was silent for {limits.max_missed_beats} s"
            due.append(actions.Kill(proc.pid, why))
        elif proc.idle and not proc.serving and now >= proc.signalled_at + STOP_REPEAT:
            due.append(actions.Stop(proc.pid))
    return due


def _end_of_job(proc: WorkerProcess, now: float) -> list[Action]:
    """End a job that was cancelled and whose grace is over. End one that overruns its deadline or
    exceeds the hard memory limit, once its worker has logged its stack."""
    if now >= proc.cancel_at:
        return [actions.KillJob(proc.pid, proc.running)]
    if now < proc.deadline and not proc.over_limit:
        return []
    if proc.dump is None or proc.dump.running != proc.running:
        return [actions.DumpStack(proc.pid, proc.running)]
    if proc.dump.written or now >= proc.dump.asked_at + DUMP_TIMEOUT:
        return [actions.KillJob(proc.pid, proc.running)]
    return []


def _boots_late(proc: WorkerProcess, limits: state.Limits, now: float) -> bool:
    """Return whether a worker boots too long. While it waits for the engine, heartbeats suffice."""
    if proc.state is WorkerState.CONNECTING:
        return proc.beat.missed >= limits.max_missed_beats
    return now - proc.started_at >= limits.boot_timeout


def _templates(pool: Pool, now: float) -> list[Action]:
    """Stop templates that are not needed, kill those that hang, and start one for a trial."""
    wanted = {pool.generation} | ({pool.trial.generation} if pool.trial else set())
    due: list[Action] = []
    for template in pool.templates.values():
        generation = template.generation
        if generation not in wanted or generation in pool.not_preloaded:
            due += [] if template.stop_sent else [actions.Stop(template.pid)]
            due += _hung(pool, template, now)
        elif template.killed:
            continue
        elif not template.ready and now - template.started_at >= pool.limits.boot_timeout:
            why = f"template g{generation} did not load the application in time"
            due.append(actions.Kill(template.pid, why))
        else:
            due += _hung(pool, template, now)
    trial = pool.trial
    if trial is None or not pool.limits.preload or now < trial.not_before:
        return due
    if trial.generation not in pool.templates and trial.generation not in pool.not_preloaded:
        due.append(actions.SpawnTemplate(trial.generation))
    return due


def _hung(pool: Pool, template: state.TemplateProcess, now: float) -> list[Action]:
    """Kill a template that was asked for a worker and has not forked it in time."""
    asked_at = [
        proc.started_at
        for proc in pool.procs()
        if proc.state is WorkerState.FORKING and proc.generation == template.generation
    ]
    if template.killed or not asked_at or now - min(asked_at) < FORK_TIMEOUT:
        return []
    why = f"template g{template.generation} did not fork a worker in {FORK_TIMEOUT:g} s"
    return [actions.Kill(template.pid, why)]


def _slot(pool: Pool, slot: Slot, now: float) -> list[Action]:
    """Spawn a worker for an empty slot, and end workers that the slot no longer needs."""
    serving = slot.serving()
    if slot.closing:
        return [actions.Stop(proc.pid) for proc in serving if proc.pid]
    wanted = (pool.generation, pool.trial.generation if pool.trial else 0)
    due: list[Action] = []
    for proc in serving:
        if proc.ready or proc.state is WorkerState.FORKING or proc.generation in wanted:
            continue
        if not _boots_late(proc, pool.limits, now):  # else _deadlines() kills it
            why = f"worker {slot.number} (pid {proc.pid}) boots a generation that does not serve"
            due.append(actions.Kill(proc.pid, why, booting=True))
    if not serving:
        if pool.generation and now >= slot.not_before and pool.can_spawn(pool.generation):
            due.append(actions.SpawnWorker(slot.number, pool.generation))
    elif len(serving) > 1 and serving[-1].ready:
        due += [actions.Stop(proc.pid) for proc in serving[:-1] if proc.pid]
    return due


def _replacements(pool: Pool, now: float, canary_slots: set[int]) -> list[Action]:
    """Spawn successors for workers that are to be replaced, at most `max_surge` at a time. A canary
    has just been spawned for each slot of `canary_slots`."""
    due: list[Action] = []
    if not pool.generation:
        return due
    booting = sum(len(slot.serving()) > 1 for slot in pool.slots) + len(canary_slots)
    for slot in pool.slots:
        serving = slot.serving()
        if slot.closing or slot.number in canary_slots or len(serving) != 1 or not serving[0].ready:
            continue
        old, leaving = serving[0], len(slot.procs) - 1
        outdated = old.generation != pool.generation
        room = booting < (pool.limits.max_surge if outdated else 1)
        room = room and leaving <= outdated
        able = room and now >= slot.not_before and pool.can_spawn(pool.generation)
        if able and (outdated or recycling.must_recycle(pool, old, now)):
            due.append(actions.SpawnWorker(slot.number, pool.generation))
            booting += 1
    return due


def _drain(pool: Pool, now: float) -> list[Action]:
    """Stop all workers, and kill those that outlive the deadline."""
    procs = [proc for proc in pool.procs() if proc.pid]
    due: list[Action] = [actions.Stop(proc.pid) for proc in procs if proc.serving]
    for template in pool.templates.values():
        due += _hung(pool, template, now)
    if now < pool.deadline:
        return due + _deadlines(pool, now)
    why = "is not left to finish its job" if pool.aborted else "outlived the stop timeout"
    late = [proc for proc in procs if not proc.killed]
    return due + [actions.Kill(proc.pid, f"worker (pid {proc.pid}) {why}") for proc in late]


def _end(pool: Pool, now: float, unrecovered: int) -> list[Action]:
    """Stop the templates, then the keeper, and exit once dead workers are recovered."""
    due: list[Action] = []
    for template in pool.templates.values():
        if now >= pool.deadline and not template.killed:
            due.append(actions.Kill(template.pid, f"template (pid {template.pid}) did not leave"))
        elif not template.stop_sent:
            due.append(actions.Stop(template.pid))
    if pool.templates:
        return due
    keeper = pool.keeper
    if keeper is None:
        if unrecovered and now < pool.deadline and pool.broker_reached:
            return [actions.SpawnKeeper()] if now >= pool.keeper_not_before else []
        return [actions.Exit(pool.exit_code)]
    if not keeper.stop_sent:
        return [actions.Stop(keeper.pid)]
    if now >= pool.deadline and not keeper.killed:
        return [actions.Kill(keeper.pid, f"keeper (pid {keeper.pid}) did not leave")]
    return []


def next_wake(pool: Pool, now: float) -> float:
    """Seconds until an action may become due by the clock; at most 1, to observe heartbeats."""
    times = [now + 1.0, pool.deadline]
    if pool.keeper is None:
        times.append(pool.keeper_not_before)
    elif pool.limits.keeper_silence < MAX_MISSED_BEATS:
        times.append(now + pool.limits.keeper_silence / BEATS_PER_TIMEOUT)
    if pool.logger is None and pool.limits.has_logger:
        times.append(pool.logger_not_before)
    if pool.trial is not None:
        times.append(pool.trial.not_before)
    for slot in pool.slots:
        times.append(slot.not_before)
        for proc in slot.procs:
            times += [proc.expires_at, proc.deadline, proc.cancel_at]
            if proc.dump is not None:
                given_up_at = proc.dump.asked_at + DUMP_TIMEOUT
                times.append(given_up_at)
                if proc.dump.running == proc.running and now < given_up_at:
                    times.append(now + DUMP_POLL)
            if proc.state is WorkerState.FORKING:
                times.append(proc.started_at + FORK_TIMEOUT)
    return max(0.0, min(time for time in times if time > now) - now)
