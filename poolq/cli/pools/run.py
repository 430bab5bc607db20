"""`poolq run`: runs a pool in the foreground. `master/` implements the pool."""

from pathlib import Path

import click

from poolq.cli.options import RUN_FLAGS, warn, with_settings
from poolq.config import Config, open_engine
from poolq.errors import ConfigError

STORELESS = ("sync://", "null://")


@click.command()
@with_settings(*RUN_FLAGS, json=False)
def run(settings: Config) -> int:
    """Run a pool of workers until it is stopped.

    On a terminal it shows a dashboard, and the log goes to a file. TERM lets running jobs finish,
    for at most --stop-timeout. The application is loaded from the project folder: the current
    folder or its nearest parent with a poolq.toml, pyproject.toml or .env.
    """
    if settings.engine in STORELESS:
        raise ConfigError(
            f"engine ({settings.sources['engine']}): a pool cannot run on {settings.engine}, which"
            " stores no jobs; set --engine or POOLQ_ENGINE to sqlite, redis or database"
        )
    # Raises ConfigError for the options of the engine, or if its library is missing.
    open_engine(settings).close()
    from poolq.dashboard import dashboard
    from poolq.log import sink
    from poolq.log.reporting import set_up
    from poolq.master.master import run_pool

    show = None
    if dashboard.has_terminal() and not settings.no_dashboard:
        settings = dashboard.with_log_file(settings)
        show = dashboard.Dashboard(settings)
    sink.check(settings)
    log = Path(settings.log_file)
    log_size = log.stat().st_size if log.is_file() else 0
    code = run_pool(settings, set_up(settings.log_format), show)
    if show is not None and code:
        from poolq.dashboard.exit_summary import errors

        for line in errors(log, log_size):
            warn(line)
    return code
