"""Flask: every job runs in the application's context, as a request does. See docs/web.md."""

from collections.abc import Callable, Generator
from typing import Any

from flask import Flask

import poolq


def init_app(app: Flask) -> None:
    """Run the jobs of this process, with their hooks, inside of `app.app_context()`: one for each
    attempt, whose teardown functions run at its end. The last call counts. No worker uses a
    connection that Flask-SQLAlchemy has opened before the fork.
    """

    def inside(_job: poolq.Job) -> Generator[None, poolq.JobOutcome, None]:
        with app.app_context():
            yield

    def close_connections() -> None:
        _dispose(app, close=True)

    def forget_connections() -> None:
        _dispose(app, close=False)

    _replace(poolq.around, inside)
    _replace(poolq.on.loaded, close_connections)
    _replace(poolq.on.started, forget_connections)


def _replace(event: Any, function: Callable[..., Any]) -> None:
    """Register a function in place of the one of the last call."""
    others = [one for one in event.functions if getattr(one, "__module__", "") != __name__]
    event.functions[:] = others
    event(function)


def _dispose(app: Flask, *, close: bool) -> None:
    """Forget the connections of Flask-SQLAlchemy, as `poolq.contrib.sqlalchemy.after_fork` does."""
    if "sqlalchemy" in app.extensions:
        with app.app_context():
            for engine in getattr(app.extensions["sqlalchemy"], "engines", {}).values():
                engine.dispose(close=close)
