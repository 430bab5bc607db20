"""How many jobs to claim at once, and whether a settlement may wait (pure).

Measured durations decide: jobs of microseconds come by the hundred and are settled together; one
of BUDGET or more comes alone. What was never measured is taken for long.
"""

#: Seconds a finished job may wait for company before it is settled.
BUDGET = 0.02
#: Most claims at once: beyond it a bigger batch saves nothing measurable.
MOST = 512
#: So many claims at once are worth to be followed without a pause.
MANY = 4
_WEIGHT = 0.2


class Pace:
    """Durations by job name, in seconds. `prefetch` 0: adapt; else the most claims at once."""

    def __init__(self, prefetch: int) -> None:
        self._most = prefetch or MOST
        self._by_job: dict[str, float] = {}
        self._all = BUDGET

    def measured(self, job: str, seconds: float) -> None:
        """One run took this long. A longer one weighs more: it is what others would wait for."""
        known = self._by_job.get(job)
        if known is None:
            self._by_job[job] = seconds
        else:
            weight = 0.5 if seconds > known else _WEIGHT
            self._by_job[job] = known + (seconds - known) * weight
        weight = 0.5 if seconds > self._all else _WEIGHT
        self._all += (seconds - self._all) * weight

    def want(self) -> int:
        """How many to claim: as many as BUDGET is expected to hold, 1 at least."""
        return max(1, min(self._most, int(BUDGET / max(self._all, 1e-6))))

    def goes_on(self, claimed: int) -> bool:
        """True if the next claim should be sent for before these have been run: they are many, so
        they are short, nobody has limited them, and the queue has given most of what was wanted."""
        return claimed >= MANY and self._most == MOST and 2 * claimed >= self.want()

    def short(self, job: str) -> bool:
        """True if the job is known to be over well within BUDGET."""
        return self._by_job.get(job, BUDGET) < BUDGET
