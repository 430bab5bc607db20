"""How many jobs to claim at once, and which jobs are expected to be short (pure).

- A batch has as many jobs as fit into BATCH_SECONDS at the mean duration of recent jobs. All
  durations above BATCH_SECONDS count alike: however long a job is, the claims behind it are given
  back.
- A longer job counts at once, shorter ones count little by little. So a worker that meets long jobs
  among short ones keeps its batches small; a single one delays the next large batch a little.
- A worker that found nothing begins with one job, so new jobs are shared among idle workers. From
  there a batch is at most MAX_GROWTH times as large as the last one that was claimed in full.
- A job is expected to be short if earlier jobs of its name were. A job that was never measured is
  not.
"""

#: Seconds that a batch is expected to take at most, and that a finished job may wait for others
#: before it is settled. A job that takes longer is long: no claim waits behind it.
BATCH_SECONDS = 0.02
#: Claims at once, at most: a larger batch saves nothing measurable.
MAX_BATCH = 512
#: The next batch is claimed while one of at least this size runs.
LOOK_AHEAD_MIN = 4
#: Seconds above which all durations of a job count alike.
MAX_DURATION = 5 * BATCH_SECONDS
#: How many times as large as the last batch the next one may be.
MAX_GROWTH = 4
#: The weight of the last job in the mean duration.
_WEIGHT = 1 / 64


class Prefetch:
    """Durations in seconds. `prefetch` 0: adapt; otherwise the largest number of claims at once."""

    def __init__(self, prefetch: int) -> None:
        self._max_batch = prefetch or MAX_BATCH
        self._adapts = not prefetch
        self._allowed = 1
        self._claims_ahead = False
        self._by_job: dict[str, float] = {}
        self._last = BATCH_SECONDS  # duration of the last jobs; follows a longer one at once
        self._last_two = 0.0  # the shorter one of the last two
        # The first runs weigh as much as the assumption before them, a job of BATCH_SECONDS.
        self._mean, self._weight = BATCH_SECONDS, 1 / 2

    def record(self, job: str, seconds: float) -> None:
        """A job has run for this long."""
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
        """`many` jobs were claimed, `wanted` were asked for."""
        self._claims_ahead = self._adapts and many >= LOOK_AHEAD_MIN and 2 * many >= wanted
        if many >= wanted:
            self._allowed = min(MAX_BATCH, MAX_GROWTH * many)
        elif not many:
            self._allowed = 1

    def batch_size(self) -> int:
        """How many jobs to claim: as many as are expected to fit into BATCH_SECONDS, at least 1."""
        expected = max(self._last, self._mean, 1e-6)
        return max(1, min(self._max_batch, self._allowed, int(BATCH_SECONDS / expected)))

    def capacity(self) -> int:
        """How many claims fit into BATCH_SECONDS. A single long run does not count: giving back and
        claiming again costs more than a moment in which the worker had no processor."""
        return int(BATCH_SECONDS / max(self._last_two, self._mean, 1e-6))

    def claims_ahead(self) -> bool:
        """True if the next claim should be sent while the jobs of the last one run: they are many,
        so short, no setting limits them, and the queue has given most of what was wanted."""
        return self._claims_ahead

    def is_short(self, job: str) -> bool:
        """True if the job is expected to end well within BATCH_SECONDS."""
        return self._by_job.get(job, BATCH_SECONDS) < BATCH_SECONDS
