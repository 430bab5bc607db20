"""The command `poolq health`, for its help and for arguments that `health.early` leaves to it."""

import click

from poolq.cli.options import with_settings
from poolq.cli.pools.health import check
from poolq.config import Config


@click.command()
@click.option("--live", "probe", flag_value="live", help="Check that the pool's processes run.")
@click.option("--ready", "probe", flag_value="ready", help="Check that the pool can run jobs.")
@with_settings("name", json=False)
def health(settings: Config, probe: str | None) -> int:
    """Report a pool's health to a probe.

    Exits with 0 if it is healthy, with 1 and the reason if it is not, and with 69 if there is no
    such pool. The command asks the pool, never the broker.
    """
    if probe is None:
        context = click.get_current_context(silent=True)
        raise click.UsageError("give one of --live and --ready", context)
    return check(settings.name, probe)
