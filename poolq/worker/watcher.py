"""The watcher: a thread that notices if a job turns out to be long, and then calls `clear`.

- It sleeps until a job could be long, so a short job costs it nothing but one write to memory.
- A thread holds `lock` while it exchanges with the engine. The watcher takes the lock before it
  finally decides whether a job is long. So the main thread starts no exchange while `clear` makes
  one over its own connection.
- It shows a job in the process title if the job was expected to be short and is not.

Times are monotonic nanoseconds.
"""

import os
import random
import threading
from collections.abc import Callable
from time import clock_gettime_ns, monotonic_ns, pthread_getcpuclockid

from poolq.common.backoff import ExponentialPause
from poolq.errors import EngineError
from poolq.scoreboard.worker_row import WorkerRow
from poolq.system.identity import is_runnable
from poolq.worker.prefetch import BATCH_SECONDS
from poolq.worker.title import Title

#: Nanoseconds after which a job counts as long.
LONG_JOB = round(BATCH_SECONDS * 1e9)
#: Nanoseconds that the watcher waits before it checks again whether a job is long. On a busy
#: machine, the main thread may not have been running at all.
CONFIRM_DELAY = 5_000_000


class Watcher:
    """`running_since`: when the running user code started; 0 if none runs. The main thread sets it.
    `clear()` is called while a job is long. It returns True if nothing is left to do until the next
    claim. If it returns False or raises EngineError, it is called again."""

    def __init__(
        self, row: WorkerRow, title: Title, lock: threading.Lock, clear: Callable[[], bool]
    ) -> None:
        self.running_since = 0
        self._row = row
        self._title = title
        self._lock = lock
        self._clear = clear
        self._thread: threading.Thread | None = None
        self._cpu_clock = 0  # of the main thread
        self._failures = 0  # consecutive ones
        self._armed = threading.Event()

    def start(self) -> None:
        """Watch the jobs that start from now on."""
        if self._thread is None:
            self._cpu_clock = pthread_getcpuclockid(threading.get_ident())
            self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
            self._thread.start()
        if not self._armed.is_set():
            self._armed.set()

    def claimed(self, many: int) -> None:
        """Watch the jobs of a new batch. A batch of one creates no thread, because no job waits
        behind the only one."""
        if not many:
            self._armed.clear()
        elif many > 1 or self._thread:
            self.start()

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            self._armed.wait()
            if not self.running_since:
                # The main thread may be in an exchange, which takes long if hundreds of workers
                # write to one file. Wait until it has ended instead of checking every 20 ms.
                with self._lock:
                    pass
            pause.wait(self._until_long() / 1e9)
            if (since := self.running_since) and self._is_long():
                used = self._used_cpu()
                pause.wait(CONFIRM_DELAY / 1e9)
                if self._is_starved(used) or self.running_since != since:
                    continue
                self._title.show_job(*self._row.running_job(), monotonic_ns())
                with self._lock:
                    if self._is_long():  # check again after waiting for the lock
                        self._clear_once()
                if self._failures:
                    pause.wait(ExponentialPause().pause(self._failures, random.random()))

    def _clear_once(self) -> None:
        """Call `clear`. Stop watching until the next claim if nothing is left to do meanwhile."""
        try:
            cleared, self._failures = self._clear(), 0
        except EngineError:  # including Fenced, which the main thread also gets, and reports
            cleared, self._failures = False, self._failures + 1
        self._armed.clear()
        if not cleared or not self._is_long():
            self._armed.set()

    def _until_long(self) -> int:
        """Return the nanoseconds until the running job is long. If no job runs, return LONG_JOB,
        because a job that starts now cannot be long before that."""
        since = self.running_since
        return max(0, since + LONG_JOB - monotonic_ns()) if since else LONG_JOB

    def _is_long(self) -> bool:
        since = self.running_since
        return since > 0 and monotonic_ns() - since >= LONG_JOB

    def _is_starved(self, used: int) -> bool:
        """Return whether the main thread could run, but has had hardly any processor time since
        `used` was measured. Then its job is not known to be long."""
        return is_runnable(os.getpid()) and self._used_cpu() - used < CONFIRM_DELAY // 2

    def _used_cpu(self) -> int:
        return clock_gettime_ns(self._cpu_clock)
