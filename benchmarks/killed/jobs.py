"""What jobs do while processes are killed: they note what happens, where the driver sees it.

Only the standard library is used: this module is imported in every contender's environment.
"""

import asyncio
import os
import time
from uuid import uuid4

from tests.support.ledger import note

KEYS = 20
TAKES = 0.05  # seconds
SCHEDULES = range(int(os.environ.get("BENCH_SCHEDULES", "5")))


def keyed(key: int, token: str) -> None:
    """A unique job: its key, and what tells it from others of the key."""
    note("begin", f"{key}/{token}")
    time.sleep(TAKES)
    note("end", f"{key}/{token}")


async def keyed_at_once(key: int, token: str) -> None:
    """The same beside others in one process."""
    note("begin", f"{key}/{token}")
    await asyncio.sleep(TAKES)
    note("end", f"{key}/{token}")


def ticked(schedule: int, id: str = "", tick: float = 0) -> None:
    """A periodic job. `tick`: when it was due, in seconds since 1970; 0 if it cannot know, so that
    it counts as of now."""
    note("tick", f"{schedule}/{tick or time.time()}/{id or uuid4()}")
