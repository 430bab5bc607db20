"""How many jobs to claim at once, and which jobs are expected to be short (pure).

- A batch has as many jobs as fit into BATCH_SECONDS at the mean duration of recent jobs. A duration
  includes waits for the engine, for other workers and for a start under a limit. Durations above
  BATCH_SECONDS count as BATCH_SECONDS, because the claims behind a long job are given back however
  long it is.
- A longer run reduces the batch size at once; shorter runs increase it gradually. So a worker with
  long jobs among short ones keeps its batches small; a single long job delays the next large batch
  a little. Waits have no such effect, because smaller batches would only make waits for the engine
  more frequent.
- After a claim that found nothing, a worker claims one job, so that new jobs are shared among idle
  workers. A later batch is at most MAX_GROWTH times as large as the last that was claimed in full.
- A job is expected to be short if `run()` of earlier jobs of its name was short, and long if there
  were none.
"""

#: Maximum expected duration of a batch, in seconds; also the longest time for which a finished job
#: waits to be settled. A job that takes longer counts as long, and no claim waits behind it.
BATCH_SECONDS = 0.02
#: Maximum number of claims at once. With 1,000, two workers on Redis drain a quarter less.
MAX_BATCH = 512
#: Longer durations count as this many seconds in the mean for a job's name.
MAX_DURATION = 5 * BATCH_SECONDS
#: The next batch is at most this many times as large as the last one.
MAX_GROWTH = 4
#: The weight of the last job in the mean duration.
_WEIGHT = 1 / 64


class Prefetch:
    """Durations are in seconds. `prefetch`: maximum number of claims at once; 0 to adapt it."""

    def __init__(self, prefetch: int) -> None:
        self._max_batch = prefetch or MAX_BATCH
        self._allowed = 1
        self._by_job: dict[str, float] = {}
        self._last = BATCH_SECONDS  # mean of the last durations, or the last one if it was longer
        self._last_two = 0.0  # the last duration, or the `_last` before it if that was shorter
        # At first, a job of BATCH_SECONDS is assumed; it weighs as much as one measured job.
        self._mean, self._weight = BATCH_SECONDS, 1 / 2

    def record(self, job: str, ran: float, seconds: float) -> None:
        """Record how long a job ran (0: not at all), and how long its claim occupied the worker."""
        if ran:
            if ran > MAX_DURATION:  # noqa: PLR1730  # `min` takes 60 ns, for each job
                ran = MAX_DURATION
            usual = self._by_job.get(job, ran)
            self._by_job[job] = usual + (ran - usual) * (0.5 if ran > usual else 0.2)
        if seconds > BATCH_SECONDS:
            seconds = BATCH_SECONDS
            ran = min(ran, BATCH_SECONDS)
        last = self._last
        if ran > last:
            self._last_two, self._last = last, ran
        else:
            self._last_two, self._last = ran, (last + 3 * ran) / 4
        self._mean += (seconds - self._mean) * self._weight
        if self._weight > _WEIGHT:
            self._weight /= 1 + self._weight

    def record_claim(self, many: int, wanted: int) -> None:
        """Record that `many` jobs were claimed when `wanted` were requested."""
        if many >= wanted:
            self._allowed = min(MAX_BATCH, MAX_GROWTH * many)
        elif not many:
            self._allowed = 1

    def batch_size(self) -> int:
        """Return how many jobs are expected to fit into BATCH_SECONDS, at least 1."""
        expected = max(self._last, self._mean, 1e-6)
        return max(1, min(self._max_batch, self._allowed, int(BATCH_SECONDS / expected)))

    def capacity(self) -> int:
        """Return how many claims fit into BATCH_SECONDS. Ignore a single long run, because the
        worker may only have lacked a processor. Giving claims back costs more than the delay."""
        return int(BATCH_SECONDS / max(self._last_two, self._mean, 1e-6))

    def is_short(self, job: str) -> bool:
        """Return whether the job is expected to end well within BATCH_SECONDS."""
        return self._by_job.get(job, BATCH_SECONDS) < BATCH_SECONDS
