"""What the pool loads: all modules of jobs, and the application that they run in."""

import jobs  # noqa: F401
from app import create_app

create_app()
