"""Records in a pool's state what has happened to the pool: one function for each event.

A worker's own state moves by the table in `state.py`. Times are monotonic seconds; `rand` is a
random number from 0 to 1.
"""

from math import inf

from poolq.common.backoff import ExponentialPause
from poolq.errors import CANNOT_START, CRASH_STORM, KILLED
from poolq.master import canary, state
from poolq.master.state import Mode, Pool, WorkerEvent, WorkerProcess, WorkerState
from poolq.scoreboard.layout import NO_JOB

END_TIMEOUT = 10.0  # seconds that templates and keeper have to exit
WORKER_BACKOFF = ExponentialPause(first=0.1, most=30.0)
HELPER_BACKOFF = ExponentialPause(first=0.1, most=5.0)
LONG_LIFE = 60.0  # seconds; the death of a helper that is older starts a new series of failures
KEEPER_INTERVAL = 0.25  # seconds between the starts of two keepers, at least


# Commands.


def stop(pool: Pool, now: float, *, patient: bool = False) -> bool:
    """Begin to drain. Returns False if the pool drains already. A `patient` drain has no time
    limit, but a later stop that is not patient sets a limit."""
    hurried = pool.mode is Mode.DRAIN and pool.deadline == inf and not patient
    if pool.mode is not Mode.RUN and not hurried:
        return False
    pool.mode, pool.trial = Mode.DRAIN, None
    pool.deadline = inf if patient else now + pool.limits.stop_timeout
    return True


def abort(pool: Pool, now: float) -> None:
    """Drain without waiting for running jobs."""
    stop(pool, now)
    pool.aborted = True
    if pool.mode is Mode.DRAIN:
        pool.deadline = min(pool.deadline, now)


def suspended(pool: Pool, seconds: float, now: float) -> None:
    """Move all deadlines by the `seconds` for which the master or the whole pool was suspended.
    This includes the deadlines of jobs that began after the last observation."""
    pool.deadline += seconds
    for proc in pool.procs():
        if not proc.ready:
            proc.started_at += seconds
        earlier = proc.running != NO_JOB and proc.running_since < proc.resumed_at
        proc.suspend_credit = seconds + (proc.suspend_credit if earlier else 0.0)
        proc.resumed_at = now
    for template in pool.templates.values():
        if not template.ready:
            template.started_at += seconds


def scale(pool: Pool, procs: int) -> None:
    """Set the number of slots: open new ones, or close those with the highest numbers."""
    while pool.target() > procs:
        [slot for slot in pool.slots if not slot.closing][-1].closing = True
    while pool.target() < procs:
        closing = [slot for slot in pool.slots if slot.closing]
        if closing:
            closing[0].closing = False
        else:
            pool.slots.append(state.Slot(len(pool.slots) + 1))


# Workers.


def spawned(pool: Pool, slot: int, proc: WorkerProcess, rand: float) -> None:
    """Add a worker that was forked, or that a template was asked to fork (pid 0). Its cooldown is
    up to a tenth shorter or longer than set, so that workers do not all expire together."""
    if pool.limits.cooldown:
        proc.expires_at = proc.started_at + pool.limits.cooldown * (0.9 + 0.2 * rand)
    proc.state = WorkerState.BOOTING if proc.pid else WorkerState.FORKING
    pool.slots[slot - 1].procs.append(proc)


def forked(pool: Pool, seq: int, pid: int) -> WorkerProcess | None:
    """Record the pid of a worker that its template has forked. Returns the worker, or None if it
    was removed meanwhile."""
    proc = pool.find(seq)
    if proc is not None:
        proc.move(WorkerEvent.FORKED)
        proc.pid = pid
    return proc


def fork_failed(pool: Pool, seq: int, now: float) -> None:
    """Remove a worker that its template could not fork. After a pause, another is spawned."""
    for slot in pool.slots:
        for proc in [proc for proc in slot.procs if proc.seq == seq]:
            proc.move(WorkerEvent.FORK_FAILED)
            slot.procs.remove(proc)
            slot.failures += 1
            slot.not_before = now + WORKER_BACKOFF.pause(slot.failures, 0.0)
            if pool.trial is not None:
                pool.trial.not_before = slot.not_before


def ready(pool: Pool, seq: int, *, idle: bool) -> bool:
    """Record that a worker can take jobs. `idle`: whether it waits for a job. Returns True if the
    worker's generation is accepted because of this."""
    proc = pool.find(seq)
    if proc is None:
        return False
    was_ready = proc.ready
    proc.move(WorkerEvent.IDLE if idle else WorkerEvent.BUSY)
    return not was_ready and canary.accept(pool, proc.generation)


def signalled(pool: Pool, pid: int, now: float, *, killed: bool) -> None:
    """Record that TERM or KILL was sent. After KILL, unlike TERM, a template is replaced."""
    if (proc := pool.worker(pid)) is not None:
        proc.move(WorkerEvent.KILL_SENT if killed else WorkerEvent.STOP_SENT)
        proc.signalled_at = now
    for template in pool.templates.values():
        if template.pid == pid:
            template.killed = template.killed or killed
            template.stop_sent = template.stop_sent or not killed
    for helper in (pool.keeper, pool.logger):
        if helper is not None and helper.pid == pid:
            helper.stop_sent, helper.killed = True, helper.killed or killed


def exited(
    pool: Pool, seq: int, code: int, now: float, why: str = "", *, worked: bool, job: str
) -> bool:
    """Remove a reaped worker, and delay its successor unless the worker was ready and exited with
    code 0. `code`: its exit code, -1 if a signal killed it. `why`: the reason that it gave, or "".
    `worked`: whether it had settled a job, or was killed because of its job. `job`: the name and id
    of the job that it was running; "" if it ran none, or was killed because of that job. Returns
    True if its generation is refused because of this exit. If its slot closes, a booting worker is
    told to exit. This causes no refusal, since another worker then tries the generation."""
    slot = next(s for s in pool.slots for p in s.procs if p.seq == seq)
    proc = next(p for p in slot.procs if p.seq == seq)
    slot.procs.remove(proc)
    was_serving, was_ready, was_killed = proc.serving, proc.ready, proc.killed
    proc.move(WorkerEvent.EXITED)
    if was_killed and job and pool.mode is not Mode.RUN:
        pool.exit_code = pool.exit_code or KILLED
        pool.killed_jobs.append(job)
    failed = pool.on_trial(proc.generation) and not was_ready and (was_killed or was_serving)
    if failed:
        canary.refuse(pool, why or "its first worker did not become ready", now, code)
    if was_ready and code == 0:
        slot.failures = 0
        return failed
    slot.restarts += 1
    slot.failures = 1 if worked else slot.failures + 1
    slot.not_before = now + WORKER_BACKOFF.pause(slot.failures, 0.0)
    unserved = was_serving and not any(worker.ready for worker in slot.serving())
    pool.spawn_failures = 0 if worked else pool.spawn_failures + unserved
    limit = pool.limits.max_spawn_failures
    if limit and pool.spawn_failures >= limit and stop(pool, now):
        pool.exit_code = CRASH_STORM
    return failed


# Templates, keeper and logger.


def template_exited(
    pool: Pool, pid: int, code: int, why: str, now: float
) -> state.TemplateProcess | None:
    """Record the exit of a template or of its dormant copy. If a template dies, its copy takes
    over, and the template is returned. If the template was stopped, the pool waits for the exit of
    the copy. Otherwise a generation on trial is refused, and the generation that serves is loaded
    again, as a trial."""
    for template in pool.templates.values():
        if template.spare == pid:
            template.spare = 0
            return None
    template = next(t for t in pool.templates.values() if t.pid == pid)
    on_trial = pool.on_trial(template.generation)
    unfit = template.stop_sent or (template.killed and on_trial)
    if template.spare and template.ready and not unfit:
        template.pid, template.spare, template.killed = template.spare, 0, False
        return template
    if template.spare and template.stop_sent:  # the pool must not end before the copy has ended
        template.pid, template.spare, template.killed = template.spare, 0, False
        template.ready = False
        return None
    del pool.templates[template.generation]
    if on_trial:
        if template.generation not in pool.not_preloaded:
            how = "was killed" if code < 0 else f"exited with code {code}"
            canary.refuse(pool, why or f"its template {how}", now, code)
    elif template.generation == pool.generation and not template.stop_sent:
        canary.reload(pool, canary.TEMPLATE_LOST)
    return None


def logger_exited(pool: Pool, now: float) -> None:
    """Record the exit of the logger. Its successor writes what is left in shared memory."""
    lived = now - pool.logger.started_at if pool.logger else 0.0
    pool.logger = None
    pool.logger_failures = 1 if lived > LONG_LIFE else pool.logger_failures + 1
    pool.logger_not_before = now + HELPER_BACKOFF.pause(pool.logger_failures, 0.0)


def keeper_exited(pool: Pool, code: int, now: float, *, killed: bool = False) -> None:
    """Record the exit of the keeper. If SIGKILL `killed` it, the next keeper starts at once.
    Otherwise it starts after a pause, but soon enough to send a heartbeat in time. The pool ends if
    the broker was never reached and `code` is in CANNOT_START."""
    lived = now - pool.keeper.started_at if pool.keeper else 0.0
    pool.keeper = None
    if killed:
        pool.keeper_not_before = now + max(0.0, KEEPER_INTERVAL - lived)
    else:
        pool.keeper_failures = 1 if lived > LONG_LIFE else pool.keeper_failures + 1
        pause = HELPER_BACKOFF.pause(pool.keeper_failures, 0.0)
        pool.keeper_not_before = now + min(pause, pool.limits.keeper_pause)
    if not pool.broker_reached and code in CANNOT_START:
        pool.exit_code, pool.mode, pool.deadline = code, Mode.END, now


def reaped(pool: Pool, now: float) -> None:
    """Remove closed, empty slots, but only from the end, so that the others keep their numbers.
    When the last worker of a drain is gone, begin to stop templates and keeper."""
    while pool.slots and pool.slots[-1].closing and not pool.slots[-1].procs:
        pool.slots.pop()
    if pool.mode is Mode.DRAIN and not pool.procs():
        pool.mode, pool.deadline = Mode.END, now + END_TIMEOUT
