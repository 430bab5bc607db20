"""Shows the master that the keeper lives while its main thread waits for the engine.

With a short `--node-ttl`, a call to the engine may take longer than the master tolerates silence of
the keeper. So a second thread sends heartbeats during the call. This hides no failure: a suspended
process sends none, and the thread stops sending if the main thread hangs for MAX_SILENCE.
"""

import threading
from time import monotonic, monotonic_ns

from poolq.scoreboard import layout
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.timeouts import MAX_MISSED_BEATS

MAX_SILENCE = MAX_MISSED_BEATS  # seconds that the main thread may take for one call to the engine
BEATS_PER_SILENCE = 8  # heartbeats within the longest silence that the master tolerates


class HeartbeatThread:
    """`silence` is how many seconds without a heartbeat the master tolerates. If no call to the
    engine can take that long, the main thread's own heartbeats suffice and no thread is started."""

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
        """Send a heartbeat from the main thread."""
        self._last = monotonic()
        self._scores.set_word(layout.KEEPER_BEAT, monotonic_ns())

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            if monotonic() - self._last < MAX_SILENCE:
                self._scores.set_word(layout.KEEPER_BEAT, monotonic_ns())
            pause.wait(self._interval)
