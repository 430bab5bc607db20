"""The program of a template process, which the master executes; nobody types it."""

import sys

from poolq.pool.template import serve
from poolq.view.reporting import set_up


def main() -> None:
    """Its argument is the descriptor of the errand."""
    sys.exit(serve(int(sys.argv[1]), set_up))
