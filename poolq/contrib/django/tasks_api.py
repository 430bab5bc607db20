"""What Django 6 has as `django.tasks`, and Django 5.2 by the package django-tasks."""

from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured

# isort: off
try:
    from django.tasks import TaskContext, TaskResult, TaskResultStatus, task, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskError
    from django.tasks.exceptions import InvalidTask
    from django.tasks.signals import task_enqueued, task_finished, task_started
except ImportError:
    if not find_spec("django_tasks"):
        raise ImproperlyConfigured("Django 5.2 needs: pip install django-tasks") from None
    from django_tasks import TaskContext, TaskResult, TaskResultStatus, task, task_backends
    from django_tasks import checks as _checks  # noqa: F401  # registers those of TASKS, as Django 6 does itself
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.base import Task, TaskError
    from django_tasks.exceptions import InvalidTaskError as InvalidTask
    from django_tasks.signals import task_enqueued, task_finished, task_started
# isort: on

__all__ = [
    "BaseTaskBackend", "InvalidTask", "Task", "TaskContext", "TaskError", "TaskResult",
    "TaskResultStatus", "task", "task_backends", "task_enqueued", "task_finished", "task_started",
]  # fmt: skip
