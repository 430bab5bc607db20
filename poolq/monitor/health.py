"""Judges whether a pool is healthy by what the pool publishes. The broker is not asked.

- A pool is live if its master and its keeper do their rounds. If not, restart the pool.
- A pool is ready if it is live, it is not starting, paused or ending, one of its workers is ready,
  and the broker has answered recently.

`live` and `ready` return why the pool is not live or not ready, or "" if it is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poolq.scoreboard import layout
from poolq.scoreboard.layout import Phase

if TYPE_CHECKING:
    from poolq.scoreboard.board import Scoreboard
    from poolq.scoreboard.pool_status import PoolStatus

MASTER_TIMEOUT = 10.0  # seconds of silence
KEEPER_TIMEOUT = 20.0  # seconds of silence; the master replaces a keeper after 10


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """The facts by which health is judged. `master`, `keeper` and `broker` are seconds since their
    last sign of life, or None if there was none yet; `node_ttl` is the setting."""

    state: str
    workers: int  # ready, and not asked to stop
    master: float
    keeper: float | None
    reachable: bool
    broker: float | None
    node_ttl: float


def live(inputs: HealthInputs) -> str:
    if inputs.master > MASTER_TIMEOUT:
        return f"its master has been silent for {inputs.master:.0f} s"
    if inputs.keeper is not None and inputs.keeper > KEEPER_TIMEOUT:
        return f"its keeper has been silent for {inputs.keeper:.0f} s"
    return ""


def ready(inputs: HealthInputs) -> str:
    if why := live(inputs):
        return why
    if inputs.state not in ("running", "reloading"):
        return f"it is {inputs.state}"
    if not inputs.workers:
        return "no worker is up"
    if inputs.broker is None:
        return "the broker has not been reached yet"
    if not inputs.reachable or inputs.broker > inputs.node_ttl:
        return f"the broker has not answered for {inputs.broker:.0f} s"
    return ""


PROBES = {"live": live, "ready": ready}


def health_inputs(scores: "Scoreboard", status: "PoolStatus", now: int) -> HealthInputs:
    """Read the inputs from the scoreboard; `now` is in monotonic nanoseconds."""

    def age(word: int) -> float | None:
        """Seconds since the time in that word of the scoreboard, or None if there is none."""
        moment = scores.word(word)
        return max(0, now - moment) / 1e9 if moment else None

    stay = [worker.row for worker in status.workers if worker.pid and not worker.stop_sent]
    return HealthInputs(
        state=status.state,
        workers=sum(scores.phase(row) in (Phase.IDLE, Phase.BUSY) for row in stay),
        master=age(layout.MASTER_BEAT) or 0.0,
        keeper=age(layout.KEEPER_BEAT),
        reachable=bool(scores.word(layout.BROKER_UP)),
        broker=age(layout.BROKER_SEEN),
        node_ttl=status.node_ttl,
    )
