"""The pool's totals of the last five minutes, a sample a second: written by the keeper, so that
whoever looks for the first time knows what was before."""

from array import array
from time import monotonic

from poolq.monitor.job_counts import JobCounts, sample
from poolq.monitor.rates import Sample
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.shared_text import TextPage

MAX_SAMPLES = 305
_FIELDS = len(Sample._fields)
SAMPLES_BYTES = 16 + MAX_SAMPLES * _FIELDS * 8  # bytes


class SampleRecorder:
    """The keeper's side; a new keeper goes on where its predecessor was."""

    def __init__(self, scores: Scoreboard) -> None:
        self._counts = JobCounts(scores)
        self._page = scores.pages.samples
        self._samples = read(self._page)

    def record(self) -> None:
        """To be called often; it takes a sample a second."""
        now = monotonic()
        if self._samples and now - self._samples[-1].at < 1.0:
            return
        self._samples = [*self._samples[1 - MAX_SAMPLES :], sample(self._counts.cells(), now)]
        self._page.write(array("d", [value for one in self._samples for value in one]).tobytes())


def read(page: TextPage) -> list[Sample]:
    """The oldest one first."""
    values = array("d", page.read()).tolist()
    return [Sample(*values[at : at + _FIELDS]) for at in range(0, len(values), _FIELDS)]
