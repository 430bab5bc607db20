"""`manage.py poolq …` becomes `python -m poolq …`, with the project's settings in its environment.

So the master of a pool imports no Django, no secret is on a command line, and signals reach it.
"""

import os
import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand

from poolq.contrib.django.backend import require_backends
from poolq.contrib.django.pool_settings import environment, folder, project_settings
from poolq.errors import ConfigError


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """All of its arguments are poolq's, --help included."""

    help = "Run a command of poolq, such as `manage.py poolq run`."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        """Replace this process. `argv`: manage.py, poolq, and poolq's arguments. What is wrong in
        POOLQ, or in TASKS for a pool, is said here, where its place is known."""
        try:
            project_settings()
            if argv[2:3] in (["run"], ["dev"]):
                require_backends()
        except ConfigError as error:
            self.stderr.write(f"poolq: {error}")
            sys.exit(error.exit_code)
        os.chdir(folder())
        command = [sys.executable, "-m", "poolq", *argv[2:]]
        os.execve(sys.executable, command, environment())  # noqa: S606  # no shell is wanted

    def handle(self, *args: Any, **_options: Any) -> NoReturn:
        """Serve `call_command("poolq", …)`, which ends this process, too."""
        self.run_from_argv(["manage.py", "poolq", *args])
