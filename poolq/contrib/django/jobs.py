"""The module that workers of a Django project load: all tasks and jobs of the installed apps.

`manage.py poolq run` names it as POOLQ_APP. Connections to databases are closed before the fork,
and each worker opens its own, which live from job to job as CONN_MAX_AGE says.
"""

import logging
import threading
from collections.abc import Generator
from importlib.util import find_spec
from weakref import WeakSet

import django
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created
from django.utils.log import RequireDebugTrue

import poolq
from poolq.jobs import event_loop

django.setup()
_logger = logging.getLogger("django")
if _logger.propagate and logging.getLogger().handlers:  # as in a pool, whose log has its records
    for _handler in _logger.handlers[:]:
        if any(isinstance(one, RequireDebugTrue) for one in _handler.filters):
            _logger.removeHandler(_handler)  # it would print them, and the pool log them again
for _app in apps.get_app_configs():
    for _name in ("tasks", "jobs"):
        if _app.name != "poolq.contrib.django" and find_spec(f"{_app.name}.{_name}"):
            __import__(f"{_app.name}.{_name}")


@poolq.on.loaded
def close_connections() -> None:
    """Close what the imports have opened, since forked workers must not share it."""
    connections.close_all()
    for connection in connections.all(initialized_only=True):
        if hasattr(connection, "close_pool"):
            connection.close_pool()


@poolq.around
def fresh_connections(_job: poolq.Job) -> Generator[None, poolq.JobOutcome, None]:
    """Drop connections that are too old or broken, as Django does around each request."""
    _tidy_all()
    yield
    _tidy_all()


#: The threads that have opened connections.
_threads: WeakSet[threading.Thread] = WeakSet()


def _note_thread(**_: object) -> None:
    _threads.add(threading.current_thread())


connection_created.connect(_note_thread)


def _tidy_all() -> None:
    """Tidy this thread's connections and, if coroutines have used the database, those of the thread
    in which asgiref calls the database for them."""
    _tidy()
    if any(thread is not threading.current_thread() for thread in _threads):
        event_loop.run(sync_to_async(_tidy)(), "poolq.contrib.django")


def _tidy() -> None:
    reset_queries()
    if not any(one.in_atomic_block for one in connections.all(initialized_only=True)):
        close_old_connections()
