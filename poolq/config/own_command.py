"""How a user types the commands that errors name."""

import os
import sys

_DJANGO = "poolq.contrib.django"


def own_command(words: str) -> str:
    """Return a command of poolq in quotes: in a project of Django, one of manage.py."""
    django = sys.modules.get("django.apps")
    is_django = (
        django is not None and django.apps.ready and django.apps.is_installed(_DJANGO)
    ) or _DJANGO in os.environ.get("POOLQ_APP", "")  # in what manage.py has started
    return f"'{'python manage.py ' if is_django else ''}poolq {words}'"
