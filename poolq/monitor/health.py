"""Is a pool well? Judged by what it says of itself; nobody asks a broker for it (pure).

- live: its master and its keeper do their rounds. If not, somebody should start it anew.
- ready: it takes jobs and can run them: not starting, paused or leaving, a worker is up, and the
  broker has answered lately.

Each gives the reason why not, or "".
"""

from dataclasses import dataclass

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
