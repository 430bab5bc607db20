"""django-tasks-db: two processes of its `db_worker`. It has no retries, and nothing that enqueues
many at once. `python -m benchmarks.peers.django_tasks_db db_worker` is `manage.py db_worker`."""

import sys

import django
from django.conf import settings
from django.core.management import call_command, execute_from_command_line

from benchmarks import tally
from benchmarks.work import URL, host_and_port

if not settings.configured:
    host, port = host_and_port() if URL else ("", 0)
    settings.configure(
        INSTALLED_APPS=["django_tasks_db"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": host,
                "PORT": port,
                "USER": "poolq",
                "NAME": "poolq",
                "CONN_MAX_AGE": None,
            }
        },
        TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}},
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()

from django.tasks import task  # needs the settings


@task()
def noop(payload: dict[str, object]) -> None:
    tally.count()


@task()
def late(sent: int) -> None:
    tally.late(sent)


def prepare() -> None:
    call_command("migrate", verbosity=0)


def send(payload: dict[str, object]) -> None:
    noop.enqueue(payload)


def probe(sent: int) -> None:
    late.enqueue(sent)


if __name__ == "__main__":
    execute_from_command_line(sys.argv)
