"""`poolq demo`: real jobs on real input, implemented in `poolq.demo`."""

import click

from poolq.cli.options import json_option, wants_json


@click.command()
@json_option
def demo() -> int:
    """Run real jobs on SQLite, to show poolq in action.

    Four workers index the standard library, send mails at 5 per second, retry, fail and
    recover from a crash. It takes less than a minute.
    """
    from poolq.demo.run import run_demo

    return run_demo(json=wants_json())
