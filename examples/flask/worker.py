"""What the pool loads: the application, which imports the module of jobs."""

from app import create_app

create_app()
