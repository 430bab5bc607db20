"""Flask: every job runs in the application's context, as a request does. See docs/web.md."""

from collections.abc import Generator

from flask import Flask

import poolq


def init_app(app: Flask) -> None:
    """Run the jobs of this process, with their hooks, inside of `app.app_context()`: one for each
    attempt, whose teardown functions run at its end. The last call counts.
    """

    def inside(_job: poolq.Job) -> Generator[None, poolq.JobOutcome, None]:
        with app.app_context():
            yield

    others = [one for one in poolq.around.functions if one.__module__ != __name__]
    poolq.around.functions[:] = [*others, inside]
