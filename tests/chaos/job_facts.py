"""What the harness knows of the jobs: how they end, and under which limits they start."""

from __future__ import annotations

from tests.chaos.jobs import (
    ADJUSTED,
    AT_ONCE,
    COSTS,
    HELD,
    OF_ALL,
    OF_EACH,
    OF_OPTION,
    PARKED,
    RELEASED,
    SLIDES,
    TENANTS,
    USERS,
)

#: How the jobs of a class end, if nobody cancels them; those that may expire may also be done. All
#: others are done.
ENDS = {
    "Fails": "failed", "Exits": "failed", "Segfaults": "failed", "Hangs": "failed",
    "GivesUp": "failed", "Discards": "discarded", "Expires": "expired",
}  # fmt: skip
#: Of each limit's key, how many starts it allows in a window.
LIMITS = {
    "jobs:Releases": RELEASED,
    "jobs:Parks": PARKED,
    "jobs:AtOncePaced": PARKED,
    **{f"tenant:{tenant}": AT_ONCE for tenant in range(TENANTS)},
    OF_OPTION: AT_ONCE,
    "jobs:Both": OF_ALL,
    "jobs:BothParked": OF_ALL,
    **{f"user:{user}": OF_EACH for user in range(USERS)},
    "costs": COSTS,
    "slides": SLIDES,
    "adjusted": ADJUSTED,
    "held": HELD,
}
