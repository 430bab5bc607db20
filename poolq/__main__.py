"""`python -m poolq` is `poolq`."""

import sys

from poolq.cli import main

if __name__ == "__main__":
    sys.exit(main())
