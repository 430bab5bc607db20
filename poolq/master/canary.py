"""Tries a new generation of the code with one worker, the canary, before the others follow.

A generation is accepted when its canary can take jobs. If the canary or its template fails earlier,
the generation is refused. Then the old generation keeps serving; without one, the pool ends.
"""

from math import inf

from poolq.errors import BOOT_FAILED, CANNOT_START
from poolq.master.actions import SpawnWorker
from poolq.master.state import Mode, Pool, Trial

TEMPLATE_LOST = "the template was lost"
LOST_RETRY_DELAY = 10.0  # seconds from a refusal until a lost template is loaded again


def reload(pool: Pool, why: str, not_before: float = -inf) -> bool:
    """Begin to try a new generation. Returns False if the pool is ending. Returns False, too, if a
    trial is under way; another trial then begins when that one is over."""
    if pool.mode is not Mode.RUN:
        return False
    trial = pool.trial
    if trial is not None and not pool.has_begun(trial):
        trial.not_before, trial.why = -inf, why  # the waiting trial begins now
        return True
    if trial is not None:
        trial.again = True
        return False
    pool.last_generation += 1
    pool.trial = Trial(pool.last_generation, why, not_before=not_before)
    return True


def spawn(pool: Pool, now: float) -> list[SpawnWorker]:
    """Spawn the canary of the generation on trial if it is due and does not run yet."""
    trial = pool.trial
    if trial is None or now < trial.not_before or not pool.can_spawn(trial.generation):
        return []
    if any(proc.generation == trial.generation for proc in pool.procs()):
        return []
    free = [slot for slot in pool.slots if not slot.closing and len(slot.serving()) < 2]
    return [SpawnWorker(free[0].number, trial.generation)] if free else []


def accept(pool: Pool, generation: int) -> bool:
    """Accept a generation whose first worker is ready. Returns False if it is not on trial."""
    trial = pool.trial
    if trial is None or generation != trial.generation:
        return False
    pool.generation, pool.trial = generation, None
    pool.refusal = pool.traceback = ""
    if trial.again:
        reload(pool, "requested again")
    return True


def refuse(pool: Pool, why: str, now: float, code: int = BOOT_FAILED) -> None:
    """Refuse the generation on trial. If there is no older generation, the pool ends."""
    trial, pool.trial = pool.trial, None
    if not pool.generation:
        pool.exit_code = code if code in CANNOT_START else BOOT_FAILED
        pool.mode, pool.deadline = Mode.DRAIN, now
        return
    pool.refusal, pool.traceback = why, ""
    if trial is not None and trial.again:
        reload(pool, "requested again")
    elif not pool.can_spawn(pool.generation):
        # Without a template, no worker that dies can be replaced, so load the code again.
        reload(pool, TEMPLATE_LOST, now + LOST_RETRY_DELAY)
