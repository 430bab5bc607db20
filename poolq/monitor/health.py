"""Is a pool well? Judged by what it says of itself; nobody asks a broker for it (pure).

- live: its master and its keeper do their rounds. If not, somebody should start it anew.
- ready: it takes jobs and can run them: not starting, paused or leaving, a worker is up, and the
  broker has answered lately.

Each gives the reason why not, or "".
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poolq.scoreboard import layout
from poolq.scoreboard.layout import Phase

if TYPE_CHECKING:
    from poolq.scoreboard.board import Scoreboard
    from poolq.scoreboard.pool_status import PoolStatus

MASTER_TIMEOUT, KEEPER_TIMEOUT = (
    10.0,
    20.0,
)  # seconds of silence; the master replaces a keeper after 10


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """Of a pool; ages in seconds, None: never yet. `node_ttl`: as in the settings."""

    state: str
    workers: int  # that are ready and stay
    master: float
    keeper: float | None
    reachable: bool
    broker: float | None
    node_ttl: float


def live(signs: HealthInputs) -> str:
    if signs.master > MASTER_TIMEOUT:
        return f"its master has not looked after it for {signs.master:.0f} s"
    if signs.keeper is not None and signs.keeper > KEEPER_TIMEOUT:
        return f"its keeper was silent for {signs.keeper:.0f} s"
    return ""


def ready(signs: HealthInputs) -> str:
    if why := live(signs):
        return why
    if signs.state not in ("running", "reloading"):
        return f"it is {signs.state}"
    if not signs.workers:
        return "no worker is up"
    if signs.broker is None:
        return "the broker was not reached yet"
    if not signs.reachable or signs.broker > signs.node_ttl:
        return f"the broker has not answered for {signs.broker:.0f} s"
    return ""


PROBES = {"live": live, "ready": ready}


def health_inputs(scores: "Scoreboard", status: "PoolStatus", now: int) -> HealthInputs:
    """Read from the scoreboard and the master's page; `now` in monotonic nanoseconds."""

    def age(word: int) -> float | None:
        """Seconds since the moment in that word of the head; None: never."""
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
