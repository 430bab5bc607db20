"""Judges whether a pool is healthy by what the pool publishes. It never contacts the broker.

- A pool is live if its master and keeper have sent a heartbeat recently. If not, restart the pool.
- A pool is ready if it is live, it is not starting, paused or ending, one of its workers is ready,
  and the broker has answered recently.
"""

from typing import TYPE_CHECKING

from poolq.scoreboard import layout
from poolq.scoreboard.layout import Phase

if TYPE_CHECKING:
    from poolq.scoreboard.board import Scoreboard
    from poolq.scoreboard.pool_status import PoolStatus

MASTER_TIMEOUT = 10.0  # seconds of silence
KEEPER_TIMEOUT = 20.0  # seconds of silence; the master replaces a keeper after 10
LIVE, READY = "live", "ready"


def why_not(probe: str, scores: "Scoreboard", status: "PoolStatus", now: int) -> str:
    """Return why the pool is not LIVE or READY, or "" if it is. `now`: monotonic nanoseconds."""

    def age(word: int) -> float | None:
        """Seconds since the time in that word of the scoreboard; None if the word is 0."""
        moment = scores.word(word)
        return max(0, now - moment) / 1e9 if moment else None

    master, keeper = age(layout.MASTER_BEAT) or 0.0, age(layout.KEEPER_BEAT)
    if master > MASTER_TIMEOUT:
        return f"its master has been silent for {master:.0f} s"
    if keeper is not None and keeper > KEEPER_TIMEOUT:
        return f"its keeper has been silent for {keeper:.0f} s"
    if probe == LIVE:
        return ""
    if status.state not in ("running", "reloading"):
        return f"it is {status.state}"
    stay = [worker.row for worker in status.workers if worker.pid and not worker.stop_sent]
    if not any(scores.phase(row) in (Phase.IDLE, Phase.BUSY) for row in stay):
        return "no worker is up"
    broker = age(layout.BROKER_SEEN)
    if broker is None:
        return "the engine has not been reached yet"
    if not scores.word(layout.BROKER_UP) or broker > status.node_ttl:
        return f"the engine has not answered for {broker:.0f} s"
    return ""
