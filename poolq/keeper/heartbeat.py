"""Shows the master that the keeper lives while its main thread waits for the engine.

An exchange may take as long as a connection's time-out, longer than a short `--node-ttl` allows a
keeper to be silent. A stopped process sends no beats at all, and one whose main thread hangs sends
none after MAX_SILENCE.
"""

import threading
from time import monotonic, monotonic_ns

from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.timeouts import MAX_MISSED_BEATS

MAX_SILENCE = MAX_MISSED_BEATS  # seconds that the main thread may take for one exchange
BEATS_PER_SILENCE = 8  # in the silence that the master allows


class HeartbeatThread:
    """`silence`: the seconds without a beat that the master allows. If they are more than any
    exchange takes, the main thread's own beats suffice and no thread is started."""

    def __init__(self, scores: Scoreboard, silence: float) -> None:
        self._scores = scores
        self._interval = silence / BEATS_PER_SILENCE
        self._needed = silence < MAX_MISSED_BEATS
        self._last = monotonic()

    def start(self) -> None:
        self.beat()
        if self._needed:
            threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def beat(self) -> None:
        """The main thread is alive."""
        self._last = monotonic()
        self._scores.set_word(layout.KEEPER_BEAT, monotonic_ns())

    def _run(self) -> None:
        rest = threading.Event()
        while True:
            if monotonic() - self._last < MAX_SILENCE:
                self._scores.set_word(layout.KEEPER_BEAT, monotonic_ns())
            rest.wait(self._interval)
