"""`poolq run`: a pool in the foreground. How it lives and ends is `poolq.pool`'s business."""

import click

from poolq.cli.options import ALL, with_settings
from poolq.config import Config
from poolq.errors import ConfigError

STORELESS = ("sync://", "null://")


@click.command()
@with_settings(*ALL)
def run(settings: Config) -> int:
    """Run a pool of workers until it is told to stop.

    TERM lets running jobs finish, for at most --stop-timeout. The application is loaded
    from the project folder: the nearest one upwards with a poolq.toml, pyproject.toml
    or .env.
    """
    if settings.engine in STORELESS:
        raise ConfigError(
            f"engine ({settings.sources['engine']}): a pool cannot run on {settings.engine}, which"
            " keeps no jobs; give --engine or POOLQ_ENGINE as sqlite, redis or database"
        )
    from poolq.pool import sink
    from poolq.pool.master import run_pool
    from poolq.view.reporting import set_up

    sink.check(settings)
    return run_pool(settings, set_up(settings.log_format))
