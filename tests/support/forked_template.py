"""A template that is forked from its master, where `poolq run` executes a new interpreter. That
takes a quarter of a second of CPU to load poolq again, which was a third of what a pool took.

The child forgets what it has of the master, as far as a template or a job could notice: handlers of
signals, descriptors, the log, and what multiprocessing and the import system know. Pools that are
not `Forked` execute the interpreter: those on a terminal, `through` another program, or of a
project with `new_interpreters`, as in the tests of templates.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import process, resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any

from poolq.log.reporting import EVENT_LOGGER
from poolq.template import template

#: What multiprocessing has in an interpreter that it has not started, as it has none in a child.
MAIN: Any = process.current_process()


def become_template(argv: list[str], kept: tuple[int, ...]) -> int:
    """In place of `poolq.system.fork.execute`; `argv` is what it would be given."""
    gc.freeze()  # what is not reachable any more may hold descriptors, whose numbers others get
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for fd in kept:
        os.set_inheritable(fd, True)
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # the listing's own is closed
            if not os.get_inheritable(int(entry.name)):
                os.close(int(entry.name))
    for logger in (logging.getLogger(), EVENT_LOGGER):
        logger.handlers.clear()
    atexit._clear()
    process._current_process, process._parent_process = MAIN, None
    MAIN.name = "MainProcess"  # the fork server has called it as the child
    process._children.clear()
    resource_tracker._resource_tracker.__init__()
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    del sys.path[0]
    sys.modules["__main__"] = ModuleType("__main__")
    sys.argv = ["-c", argv[-1]]
    try:
        template.main()
    except SystemExit as end:
        atexit._run_exitfuncs()
        return int(end.code or 0)
    return 0
