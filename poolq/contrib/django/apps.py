"""The app: its web processes dispatch to the engine of the project's settings."""

from django.apps import AppConfig
from django.core.checks import register

from poolq.contrib.django.checks import of_settings
from poolq.contrib.django.pool_settings import project_settings
from poolq.jobs.producer import load_by


class PoolqConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Named by "poolq.contrib.django" in INSTALLED_APPS."""

    name = "poolq.contrib.django"
    label = "poolq"
    verbose_name = "poolq"

    def ready(self) -> None:
        """Register the checks, and let the first dispatch choose the engine by the project's
        settings, unless a worker has chosen its pool's."""
        from poolq.contrib.django import tasks_api  # noqa: F401  # registers the checks of TASKS

        register(of_settings)
        load_by(project_settings)
