"""How many jobs to claim at once, and which jobs are expected to be short (pure).

- A batch holds as many jobs as fit into BUDGET at the mean duration of the last ones. Above BUDGET
  all durations are equal: however long a job is, what was claimed behind it is given back.
- A longer job counts at once, shorter ones count little by little. So a worker that meets long
  jobs among short ones keeps its batches small; a single one delays the next large batch a little.
- Whoever found nothing begins with one job: what comes is shared with the other idle workers. From
  there a batch is at most GROWTH times as large as the last one that was claimed in full.
- A job is expected to be short when those of its name were. What was never measured is not.
"""

#: Seconds that a batch is expected to take at most, and that a finished job may wait for others
#: before it is settled. A job that takes longer is long: nothing claimed waits behind it.
BATCH_SECONDS = 0.02
#: Most claims at once: beyond it a bigger batch saves nothing measurable.
MAX_BATCH = 512
#: So many claims at once are worth claiming the next ones while they run.
LOOK_AHEAD_MIN = 4
#: Above it all durations of a job are equal.
MAX_DURATION = 5 * BATCH_SECONDS
#: How much larger than the last one a batch may be.
MAX_GROWTH = 4
#: What share of the mean duration the last job has.
_WEIGHT = 1 / 64


class Prefetch:
    """Durations in seconds. `prefetch` 0: adapt; else the most claims at once."""

    def __init__(self, prefetch: int) -> None:
        self._max_batch = prefetch or MAX_BATCH
        self._adapts = not prefetch
        self._allowed = 1
        self._claims_ahead = False
        self._by_job: dict[str, float] = {}
        self._last = BATCH_SECONDS  # of the last jobs; follows a longer one at once
        self._last_two = 0.0  # what the last two took at least
        # The first runs count as much as what is assumed before them, a job of BUDGET.
        self._mean, self._weight = BATCH_SECONDS, 1 / 2

    def record(self, job: str, seconds: float) -> None:
        """One run took this long."""
        if seconds > MAX_DURATION:  # noqa: PLR1730  # `min` takes 60 ns, for each job
            seconds = MAX_DURATION
        known = self._by_job.get(job, seconds)
        self._by_job[job] = known + (seconds - known) * (0.5 if seconds > known else 0.2)
        if seconds > BATCH_SECONDS:  # noqa: PLR1730  # likewise
            seconds = BATCH_SECONDS
        last = self._last
        if seconds > last:
            self._last_two, self._last = last, seconds
        else:
            self._last_two, self._last = seconds, (last + 3 * seconds) / 4
        self._mean += (seconds - self._mean) * self._weight
        if self._weight > _WEIGHT:
            self._weight /= 1 + self._weight

    def record_claim(self, many: int, wanted: int) -> None:
        """So many came of those that were wanted."""
        self._claims_ahead = self._adapts and many >= LOOK_AHEAD_MIN and 2 * many >= wanted
        if many >= wanted:
            self._allowed = min(MAX_BATCH, MAX_GROWTH * many)
        elif not many:
            self._allowed = 1

    def batch_size(self) -> int:
        """How many to claim: as many as BUDGET is expected to hold, 1 at least."""
        expected = max(self._last, self._mean, 1e-6)
        return max(1, min(self._max_batch, self._allowed, int(BATCH_SECONDS / expected)))

    def capacity(self) -> int:
        """How many of those that are claimed fit into BUDGET. A single long run says nothing here:
        to give back and claim again costs more than a worker's moment without a processor."""
        return int(BATCH_SECONDS / max(self._last_two, self._mean, 1e-6))

    def claims_ahead(self) -> bool:
        """True if the next claim should be sent before the last one's jobs have been run: they are
        many, so they are short, nobody has limited them, and the queue has given most of what was
        wanted."""
        return self._claims_ahead

    def is_short(self, job: str) -> bool:
        """True if the job is expected to be over well within BUDGET."""
        return self._by_job.get(job, BATCH_SECONDS) < BATCH_SECONDS
