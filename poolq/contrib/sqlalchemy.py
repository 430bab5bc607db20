"""SQLAlchemy: no worker uses a connection that the process before it has opened (docs/web.md)."""

from typing import TYPE_CHECKING

from sqlalchemy import Engine

import poolq

if TYPE_CHECKING:  # it needs greenlet, which synchronous applications have not
    from sqlalchemy.ext.asyncio import AsyncEngine


def after_fork(engine: "Engine | AsyncEngine") -> None:
    """Give each worker a pool of connections of its own. What the import of the application has
    opened is closed before workers are forked, or the pool could not preload the application.

    An asynchronous engine cannot have connected by then. Its connections belong to the event loop,
    which the jobs of a worker share.
    """
    sync = engine if isinstance(engine, Engine) else engine.sync_engine

    @poolq.on.loaded
    def close_connections() -> None:
        sync.dispose(close=sync is engine)

    @poolq.on.started
    def forget_connections() -> None:
        # Closing them would end those of the process that has opened them.
        sync.dispose(close=False)
