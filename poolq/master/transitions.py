"""What happened to a pool, written into its state (pure). One function an event.

Clock: monotonic seconds; `rand` is 0 to 1.
"""

from math import inf

from poolq.master.state import Helper, Mode, Pool, Proc, Seat, Template, Trial
from poolq.scoreboard.values import NO_JOB
from poolq.system.exit_codes import BOOT_FAILED, CANNOT_START, CRASH_STORM, KILLED

END_DEADLINE = 10.0
BACKOFF_FIRST, BACKOFF_MOST = 0.1, 30.0
LOST, LOST_AGAIN = "the template was lost", 10.0  # seconds between two tries to load it again
LONG_LIFE = 60.0  # seconds after which a keeper's death is no repetition
KEEPERS = 0.25  # seconds from one keeper's start to the next one's, at least
#: A worker's own growth, as a share of `max_memory`, before it counts as leaking: one that is
#: born big cannot be helped by another birth.
GROWTH = 0.1


def backoff(failures: int, most: float = BACKOFF_MOST) -> float:
    """Seconds before the next try after so many failures in a row."""
    return min(most, BACKOFF_FIRST * 2.0 ** min(max(0, failures - 1), 16))


# Wishes.


def stop(pool: Pool, now: float, *, patient: bool = False) -> bool:
    """Begin to drain, `patient`: for as long as it takes; False when that has begun already. A
    patient drain can be made to end in time."""
    hurried = pool.mode is Mode.DRAIN and pool.deadline == inf and not patient
    if pool.mode is not Mode.RUN and not hurried:
        return False
    pool.mode, pool.trial = Mode.DRAIN, None
    pool.deadline = inf if patient else now + pool.limits.stop_timeout
    return True


def abort(pool: Pool, now: float) -> None:
    """Drain without patience."""
    stop(pool, now)
    pool.aborted = True
    if pool.mode is Mode.DRAIN:
        pool.deadline = min(pool.deadline, now)


def reload(pool: Pool, why: str, not_before: float = 0.0) -> bool:
    """Try a new generation; False when one is being tried: then another follows."""
    if pool.mode is not Mode.RUN:
        return False
    trial = pool.trial
    if trial is not None and not pool.begun(trial):
        trial.not_before, trial.why = 0.0, why  # it only waits for its time
        return True
    if trial is not None:
        trial.again = True
        return False
    pool.last_generation += 1
    pool.trial = Trial(pool.last_generation, why, not_before=not_before)
    return True


def suspended(pool: Pool, seconds: float, now: float) -> None:
    """The master, and perhaps all of the pool, was stopped for so long while the clock went on:
    nobody is late by that, also who runs what began since the last look."""
    pool.deadline += seconds
    for proc in pool.procs():
        if not proc.ready:
            proc.born += seconds
        kept = proc.excuse if proc.running != NO_JOB and proc.since < proc.woken else 0.0
        proc.woken, proc.excuse = now, kept + seconds
    for template in pool.templates.values():
        if not template.ready:
            template.born += seconds


def scale(pool: Pool, procs: int) -> None:
    """Have so many seats: open new ones, or close those of the highest numbers."""
    while pool.target() > procs:
        [seat for seat in pool.seats if not seat.closing][-1].closing = True
    while pool.target() < procs:
        closing = [seat for seat in pool.seats if seat.closing]
        if closing:
            closing[0].closing = False
        else:
            pool.seats.append(Seat(len(pool.seats) + 1))


# Workers.


def spawned(
    pool: Pool, slot: int, seq: int, generation: int, pid: int, now: float, rand: float
) -> None:
    """A worker was forked (pid 0: a template was asked for it). Its lifetime is jittered by a
    tenth each way, so that not all end together."""
    cooldown = pool.limits.cooldown
    due = now + cooldown * (0.9 + 0.2 * rand) if cooldown else inf
    pool.seats[slot - 1].procs.append(Proc(seq, pid, generation, now, due))


def born(pool: Pool, seq: int, pid: int) -> None:
    """A template has forked the worker it was asked for."""
    proc = pool.find(seq)
    if proc is not None:
        proc.pid = pid


def unborn(pool: Pool, seq: int, now: float) -> None:
    """The worker that a template was asked for could not be forked: again a little later."""
    for seat in pool.seats:
        if any(proc.seq == seq for proc in seat.procs):
            seat.procs = [proc for proc in seat.procs if proc.seq != seq]
            seat.failures += 1
            seat.not_before = now + backoff(seat.failures)
            if pool.trial is not None:
                pool.trial.not_before = seat.not_before


def ready(pool: Pool, seq: int) -> bool:
    """A worker can take jobs; True when that proves its generation good."""
    proc = pool.find(seq)
    if proc is None or proc.ready:
        return False
    proc.ready = True
    trial = pool.trial
    if trial is None or proc.generation != trial.generation:
        return False
    pool.generation, pool.trial = trial.generation, None
    pool.refusal = pool.trace = ""
    if trial.again:
        reload(pool, "asked for once more")
    return True


def refused(pool: Pool, why: str, now: float, code: int = BOOT_FAILED) -> None:
    """The generation on trial is no good: the old one serves on; without one the pool ends."""
    trial, pool.trial = pool.trial, None
    if not pool.generation:
        pool.code = code if code in CANNOT_START else BOOT_FAILED
        pool.mode, pool.deadline = Mode.DRAIN, now
        return
    pool.refusal, pool.trace = why, ""
    if trial is not None and trial.again:
        reload(pool, "asked for once more")
    elif not pool.can_spawn(pool.generation):
        # Without a template a worker that dies cannot be replaced.
        reload(pool, LOST, now + LOST_AGAIN)


def answered(pool: Pool, seq: int, *, changed: bool) -> None:
    """The template said whether the code has changed; if so the worker's end is a reload."""
    proc = pool.find(seq)
    if proc is None:
        return
    proc.answered = True
    if changed:
        reload(pool, "the code has changed when a cooldown was over")


def signalled(pool: Pool, pid: int, now: float, *, killed: bool) -> None:
    """A Stop or Kill was carried out. A template is killed for hanging: it was not told to leave,
    so it is replaced."""
    children: list[Proc | Helper | Template] = [*pool.procs(), *pool.templates.values()]
    children += [helper for helper in (pool.keeper, pool.logger) if helper is not None]
    for child in children:
        if child.pid == pid:
            child.told = child.told or not (killed and isinstance(child, Template))
            child.killed = child.killed or killed
            if isinstance(child, Proc):
                child.signalled_at = now


def weighed(pool: Pool, proc: Proc, rss: int, at: float) -> None:
    """It held `rss` bytes `at` a time. What the jobs before have left is no fault of the one that
    runs now: over the limit, only its own growth counts."""
    proc.rss = rss
    most = pool.limits.max_memory_hard
    if proc.running == NO_JOB or at < proc.since:
        proc.heavy = False
        return
    allowed = proc.burden * (1 + GROWTH) if proc.burden > most else most
    proc.heavy = most > 0 and rss > allowed


def spent(pool: Pool, proc: Proc) -> str:
    """Judge a worker's counters (jobs it has run, memory it has gained): why it is spent, or ""."""
    limits = pool.limits
    if limits.max_jobs and proc.jobs >= limits.max_jobs:
        proc.spent = f"{proc.jobs} jobs"
    grown = proc.rss - proc.birth
    if limits.max_memory and proc.rss > limits.max_memory and grown > limits.max_memory * GROWTH:
        proc.spent = f"{proc.rss >> 20} MiB"
    if limits.max_memory_hard and proc.rss > limits.max_memory_hard:
        proc.spent = f"{proc.rss >> 20} MiB"  # its next job shall not be killed for it
    return proc.spent


def exited(
    pool: Pool, seq: int, code: int, now: float, why: str = "", *, worked: bool, in_job: bool
) -> bool:
    """A worker was reaped: back off where it died by itself. `code` -1: by a signal; `why`: what it
    said of it; `worked`: it had settled a job, or was killed for what its job did; `in_job`: it was
    running one that nobody has condemned. True when its generation is refused for it: not if it was
    told to leave while it booted, because its seat closes; then another one tries."""
    seat = next(s for s in pool.seats for p in s.procs if p.seq == seq)
    proc = next(p for p in seat.procs if p.seq == seq)
    seat.procs.remove(proc)
    if proc.killed and in_job and pool.mode is not Mode.RUN:
        pool.code = pool.code or KILLED
    trial = pool.trial
    tried = trial is not None and proc.generation == trial.generation and not proc.ready
    bad = tried and (proc.killed or not proc.told)
    if bad:
        refused(pool, why or "its first worker did not get ready", now, code)
    if proc.ready and code == 0:
        seat.failures = 0
        return bad
    seat.restarts += 1
    seat.failures = 1 if worked else seat.failures + 1
    seat.not_before = now + backoff(seat.failures)
    missed = not proc.told and not any(other.ready for other in seat.serving())
    pool.spawn_failures = 0 if worked else pool.spawn_failures + missed
    most = pool.limits.max_spawn_failures
    if most and pool.spawn_failures >= most and stop(pool, now):
        pool.code = CRASH_STORM
    return bad


def closed(pool: Pool) -> None:
    """Forget seats that are closed and empty; the highest only, so that slots stay numbered."""
    while pool.seats and pool.seats[-1].closing and not pool.seats[-1].procs:
        pool.seats.pop()


# Templates and the keeper.


def template_exited(pool: Pool, pid: int, code: int, why: str, now: float) -> Template | None:
    """A template was reaped. Its dormant copy takes over; without one the code is loaded anew,
    as a trial. Returns the template whose copy is to be woken."""
    for template in pool.templates.values():
        if template.spare == pid:
            template.spare = 0
            return None
    template = next(t for t in pool.templates.values() if t.pid == pid)
    on_trial = pool.trial is not None and pool.trial.generation == template.generation
    if template.spare and template.ready and not (template.told or (template.killed and on_trial)):
        template.pid, template.spare, template.killed = template.spare, 0, False
        return template
    del pool.templates[template.generation]
    trial = pool.trial
    if trial is not None and trial.generation == template.generation:
        if template.generation not in pool.bare:
            how = "was killed" if code < 0 else f"ended with code {code}"
            refused(pool, why or f"its template {how}", now, code)
    elif template.generation == pool.generation and not template.told:
        reload(pool, LOST)
    return None


def logger_exited(pool: Pool, now: float) -> None:
    """The logger was reaped; pipes and ring have kept what it had not written."""
    lived = now - pool.logger.born if pool.logger else 0.0
    pool.logger = None
    pool.logger_failures = 1 if lived > LONG_LIFE else pool.logger_failures + 1
    pool.logger_not_before = now + backoff(pool.logger_failures, 5.0)


def keeper_exited(pool: Pool, code: int, now: float, *, killed: bool = False) -> None:
    """The keeper was reaped; before its first contact with the broker its code ends the pool. One
    that was `killed` (SIGKILL) is replaced at once, and one that died by itself after a while."""
    lived = now - pool.keeper.born if pool.keeper else 0.0
    pool.keeper = None
    if killed:
        pool.keeper_not_before = now + max(0.0, KEEPERS - lived)
    else:
        pool.keeper_failures = 1 if lived > LONG_LIFE else pool.keeper_failures + 1
        pool.keeper_not_before = now + backoff(pool.keeper_failures, 5.0)
    if not pool.contact and code in CANNOT_START:
        pool.code, pool.mode, pool.deadline = code, Mode.END, now


def emptied(pool: Pool, now: float) -> None:
    """After every reaping: when the last worker of a drain has left, the others may go."""
    if pool.mode is Mode.DRAIN and not pool.procs():
        pool.mode, pool.deadline = Mode.END, now + END_DEADLINE
