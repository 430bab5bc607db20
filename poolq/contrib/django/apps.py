"""The app: its web processes dispatch to the engine of the project's settings."""

import logging
from dataclasses import replace

from django.apps import AppConfig
from django.core.checks import register

from poolq.config import load
from poolq.contrib.django.checks import of_settings
from poolq.contrib.django.pool_settings import environment, folder
from poolq.errors import ConfigError
from poolq.jobs.producer import dispatch_by


class PoolqConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Named by "poolq.contrib.django" in INSTALLED_APPS."""

    name = "poolq.contrib.django"
    label = "poolq"
    verbose_name = "poolq"

    def ready(self) -> None:
        """Register the checks, and choose the engine, unless a worker has chosen its pool's."""
        from poolq.contrib.django import tasks_api  # noqa: F401  # registers the checks of TASKS

        register(of_settings)
        try:
            settings = load(environ=environment(), cwd=folder())
            dispatch_by(replace(settings, is_project=True))  # manage.py marks its folder
        except ConfigError as error:  # `manage.py check` says the same, and a dispatch raises it
            logging.getLogger("poolq").error("%s", error)
