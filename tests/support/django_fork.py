"""A Python of some environment that has loaded what Django and poolq need before any settings, and
is forked for each command, which takes a part of the time that a new one takes to load it.

It is a script, run by `python -c`, since commands are to find nothing of this checkout. Each line
of stdin is an order; answered is the exit code, negative for a signal.
"""

import ctypes
import faulthandler
import gc
import json
import os
import runpy
import signal
import sys
from importlib import import_module
from multiprocessing import get_context
from types import ModuleType

PDEATHSIG = 1
DJANGO = [
    "contrib.admin.templatetags.admin_list", "contrib.admin.templatetags.log",
    "contrib.auth.hashers", "contrib.auth.management", "contrib.auth.password_validation",
    "contrib.auth.validators", "contrib.messages.middleware", "contrib.sessions.middleware",
    "contrib.staticfiles.checks", "core.cache.backends.locmem",
    "core.management.commands.check", "core.management.commands.migrate",
    "core.management.commands.test", "db.backends.sqlite3.base", "middleware.clickjacking",
    "middleware.common", "middleware.csrf", "middleware.security", "test", "views.defaults",
]  # fmt: skip
POOLQ = [
    "contrib.django.backend", "contrib.django.checks", "contrib.django.task_jobs",
    "engines.sqlite.engine", "engines.transactions.django_layer", "testing.fixture",
]  # fmt: skip


def become(code, argv, folder, env, out, err):
    """What `python argv` is in this folder, or `python -c code`."""
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
    for fd, path in enumerate([os.devnull, out, err]):
        os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), fd)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv, sys.path[0] = argv, folder
    faulthandler.dump_traceback_later(60, exit=True)  # a process that hangs says where
    if code:
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(code, vars(main))  # the test's own
    else:
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    for name in (*(f"django.{one}" for one in DJANGO), *(f"poolq.{one}" for one in POOLQ)):
        import_module(name)
    for name in import_module("poolq.cli.main").COMMAND_MODULES.values():
        import_module(f"poolq.cli.{name}")
    gc.freeze()
    for line in sys.stdin:
        child = get_context("fork").Process(target=become, args=json.loads(line))
        child.start()
        child.join()
        print(child.exitcode, flush=True)
